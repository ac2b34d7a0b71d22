"""The query of a list of downloads, paging, and waiting for a change. All of it is spsd's own.

The documented list has neither paging nor filtering, and a body with a shape of its own: the link
to the next page is a header field (RFC 8288). ``?wait=SECONDS&since=REVISION`` waits for another
revision, a weak validator (RFC 9110, section 8.8.1) that is taken before the rows are read, so that
no change is missed.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import get_args
from urllib.parse import urlencode

from aiohttp import hdrs, web
from multidict import MultiMapping

from spsd.errors import InvalidQueryError
from spsd.jobs.feed import Feed, Revision
from spsd.jobs.job import Job, JobKey, Selection
from spsd.jobs.lifecycle import JobState
from spsd.web.api.download_json import Status, status_of
from spsd.web.contract import Field
from spsd.web.links import FETCH
from spsd.web.middleware.connections import when_lost

MOST = 10_000
STATUSES: tuple[str, ...] = get_args(Status)
QUERY = (
    Field(
        "status",
        "Only downloads that stand there; given several times, any of them. Of spsd's own.",
        {"type": "array", "items": {"type": "string", "enum": list(STATUSES)}},
    ),
    Field(
        "limit",
        "At most so many; the header field `Link` then has the next page. Of spsd's own.",
        {"type": "integer", "minimum": 1, "maximum": MOST},
    ),
    Field(
        "after",
        "Only downloads that were created after the one with this key. Of spsd's own.",
        {"type": "string", "minLength": 1},
    ),
)
NEXT = Field("Link", 'With `limit`, and if there is more: `<path>; rel="next"`.')


def selection_of(query: MultiMapping[str]) -> Selection:
    """What the query asks for.

    Raises:
        InvalidQueryError: a parameter has a value that cannot be used; the error names it.
    """
    states = [_states(status) for status in query.getall("status", [])]
    after = once(query, "after")
    limit = once(query, "limit")
    return Selection(
        states=frozenset[JobState]().union(*states) if states else None,
        after=None if after is None else JobKey(after),
        limit=None if limit is None else _limit(limit),
    )


def more(selection: Selection) -> Selection:
    """The same with one job more, which tells whether there is a next page."""
    limit = None if selection.limit is None else selection.limit + 1
    return Selection(selection.states, selection.after, limit)


def page(response: web.Response, selection: Selection, jobs: Sequence[Job]) -> None:
    """Link to the page that follows these jobs."""
    asked = [("status", status) for status in _statuses(selection)]
    path = f"{FETCH}?{urlencode([*asked, ('limit', selection.limit), ('after', jobs[-1].key)])}"
    response.headers[NEXT.name] = f'<{path}>; rel="next"'


def _statuses(selection: Selection) -> Sequence[str]:
    return sorted({status_of(state) for state in selection.states or ()})


def _states(status: str) -> frozenset[JobState]:
    states = frozenset(state for state in JobState if status_of(state) == status)
    if not states:
        known = ", ".join(f"`{one}`" for one in STATUSES)
        raise InvalidQueryError(f"`status` is one of {known}, not `{status}`.", field="status")
    return states


def once(query: MultiMapping[str], name: str) -> str | None:
    """The parameter's value; None: it is not there.

    Raises:
        InvalidQueryError: it is there several times, or has no value.
    """
    values = query.getall(name, [])
    if not values:
        return None
    if len(values) > 1 or not values[0]:
        raise InvalidQueryError(f"`{name}` stands once in the query, with a value.", field=name)
    return values[0]


def _limit(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or int(text) > MOST:
        raise InvalidQueryError(f"`limit` is a number from 1 to {MOST}.", field="limit")
    return int(text)


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
        seen = once(request.query, "since") or _known(request) or revisions.current(key)
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                with when_lost(request, lambda: limit.reschedule(loop.time())):
                    await revisions.wait(seen, key)
    return revisions.current(key)


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
