"""``?wait=SECONDS&since=REVISION``, ETag and If-None-Match on downloads. All are spsd's own.

The revision tells of changes that the rows show, and of progress some times a second: a weak
validator (RFC 9110, section 8.8.1). It is taken before the rows are read, so whoever waits for
another one misses nothing.
"""

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus

from aiohttp import hdrs, web

from spsd.errors import InvalidQueryError
from spsd.jobs.feed import Feed, Revision
from spsd.jobs.job import JobKey
from spsd.web.connections import when_lost
from spsd.web.contract import Field
from spsd.web.selection import once

FEED = web.AppKey("feed", Feed)
LONGEST_S = 60

WAITING = (
    Field(
        "wait",
        "Answer when the revision is no longer that of `since`, after so many seconds at the "
        "latest. Of spsd's own.",
        {"type": "integer", "minimum": 0, "maximum": LONGEST_S},
    ),
    Field(
        "since",
        "With `wait`: the revision that the client has, from an `ETag`; without it, that of "
        "`If-None-Match`, else the present one. Of spsd's own.",
        {"type": "string", "minLength": 1},
    ),
)
IF_NONE_MATCH = Field("If-None-Match", "The `ETag` of an earlier answer: 304 while it is the same.")
ETAG = Field("ETag", "The revision, as a weak validator. Of spsd's own.", required=True)


def asked_to_wait(request: web.Request) -> int:
    """For how many seconds at most; 0: not at all.

    Raises:
        InvalidQueryError: a parameter has a value that cannot be used; the error names it.
    """
    once(request.query, "since")
    if (text := once(request.query, "wait")) is None:
        return 0
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) > LONGEST_S:
        raise InvalidQueryError(f"`wait` is a number from 0 to {LONGEST_S}.", field="wait")
    return int(text)


async def waited(request: web.Request, key: JobKey | None = None) -> Revision:
    """Wait as the query asks; gives the revision of the rows that are read from now on."""
    revisions = request.app[FEED].revisions
    seconds = asked_to_wait(request)
    if seconds and not request.app[FEED].full:
        seen = once(request.query, "since") or _known(request) or revisions.of(key)
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                with when_lost(request, lambda: limit.reschedule(loop.time())):
                    await revisions.wait(seen, key)
    return revisions.of(key)


def unchanged(request: web.Request, revision: Revision) -> web.Response | None:
    """304, if the client has that revision already."""
    known = request.if_none_match or ()
    if any(one.value in (revision, "*") for one in known):
        return validated(web.Response(status=HTTPStatus.NOT_MODIFIED), revision)
    return None


def validated(response: web.Response, revision: Revision) -> web.Response:
    """The response with its revision."""
    response.headers[hdrs.ETAG] = f'W/"{revision}"'
    return response


def _known(request: web.Request) -> str | None:
    return next((one.value for one in request.if_none_match or ()), None)
