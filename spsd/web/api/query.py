"""Query parameters of downloads: selection, paging and waiting for a change. Extensions of spsd.

The documented list has neither paging nor filtering, and a body of a fixed shape. So the link to
the next page is a header field (RFC 8288).

``?wait=SECONDS&since=REVISION`` waits until the revision is another one. A revision is a weak
validator (RFC 9110 section 8.8.1), sent as ``ETag``. It is read before the rows, so that no change
is missed: the rows may be newer than their revision, but never older.
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
from spsd.web.connections.tracking import when_lost
from spsd.web.contract import Field
from spsd.web.followers import FOLLOWERS
from spsd.web.links import FETCH
from spsd.web.middleware.auth import SESSION

MAX_LIMIT = 10_000
STATUSES: tuple[str, ...] = get_args(Status)
SELECTION_PARAMETERS = (
    Field(
        "status",
        "Only downloads in this state; may occur several times, for several states. An extension "
        "of spsd.",
        {"type": "array", "items": {"type": "string", "enum": list(STATUSES)}},
    ),
    Field(
        "limit",
        "Maximum number of downloads; the header field `Link` has the next page. An extension of "
        "spsd.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    ),
    Field(
        "after",
        "Only downloads that were created after the one with this key. An extension of spsd.",
        {"type": "string", "minLength": 1},
    ),
)
LINK = Field("Link", '`<path>; rel="next"`: the next page, if `limit` leaves downloads out.')


def selection_of(query: MultiMapping[str]) -> Selection:
    """The selection of the query; other parameters are ignored.

    Raises:
        InvalidQueryError: a parameter has an invalid value; ``details["field"]`` is its name.
    """
    states = [_states(status) for status in query.getall("status", [])]
    after = _single_value(query, "after")
    limit = _single_value(query, "limit")
    return Selection(
        states=frozenset[JobState]().union(*states) if states else None,
        after=None if after is None else JobKey(after),
        limit=None if limit is None else _limit(limit),
    )


def with_one_more(selection: Selection) -> Selection:
    """The same selection with one more job, which shows whether there is a next page."""
    limit = None if selection.limit is None else selection.limit + 1
    return Selection(selection.states, selection.after, limit)


def add_link_to_next_page(
    response: web.Response, selection: Selection, jobs: Sequence[Job]
) -> None:
    """Add a ``Link`` (RFC 8288) to the page that follows ``jobs``."""
    parameters = [
        *(("status", status) for status in _statuses(selection)),
        ("limit", selection.limit),
        ("after", jobs[-1].key),
    ]
    path = f"{FETCH}?{urlencode(parameters)}"
    response.headers[LINK.name] = f'<{path}>; rel="next"'


def _statuses(selection: Selection) -> Sequence[str]:
    return sorted({status_of(state) for state in selection.states or ()})


def _states(status: str) -> frozenset[JobState]:
    states = frozenset(state for state in JobState if status_of(state) == status)
    if not states:
        allowed = ", ".join(f"`{name}`" for name in STATUSES)
        raise InvalidQueryError(
            f"`status` must be one of {allowed}, not `{status}`.", field="status"
        )
    return states


def _single_value(query: MultiMapping[str], name: str) -> str | None:
    """The value of the parameter; None if it is absent.

    Raises:
        InvalidQueryError: it occurs several times, or has no value.
    """
    values = query.getall(name, [])
    if not values:
        return None
    if len(values) > 1 or not values[0]:
        raise InvalidQueryError(f"`{name}` must occur at most once, with a value.", field=name)
    return values[0]


def _limit(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or int(text) > MAX_LIMIT:
        raise InvalidQueryError(f"`limit` must be a number from 1 to {MAX_LIMIT}.", field="limit")
    return int(text)


FEED = web.AppKey("feed", Feed)
MAX_WAIT_S = 60
WAIT_PARAMETERS = (
    Field(
        "wait",
        "Wait until the revision differs from `since`, for at most this number of seconds. An "
        "extension of spsd.",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S},
    ),
    Field(
        "since",
        "With `wait`: the revision that the client has, from an `ETag`. The default is the "
        "revision in `If-None-Match`, else the present one. An extension of spsd.",
        {"type": "string", "minLength": 1},
    ),
)
IF_NONE_MATCH = Field(
    "If-None-Match", "The `ETag` of an earlier response; 304 if the revision is the same."
)
ETAG = Field("ETag", "The revision, as a weak validator. An extension of spsd.", required=True)


def wait_seconds(request: web.Request) -> int:
    """The parameter ``wait``, in seconds; 0 if it is absent. Also checks ``since``.

    Raises:
        InvalidQueryError: a parameter has an invalid value; ``details["field"]`` is its name.
    """
    _single_value(request.query, "since")
    if (text := _single_value(request.query, "wait")) is None:
        return 0
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) > MAX_WAIT_S:
        raise InvalidQueryError(f"`wait` must be a number from 0 to {MAX_WAIT_S}.", field="wait")
    return int(text)


async def wait_for_change(request: web.Request, key: JobKey | None = None) -> Revision:
    """Wait as the query requests, for a change of one download or, without ``key``, of any.

    Returns the revision to send with the rows, which the caller reads afterwards. When too many
    requests follow changes already, the wait is left out. It never outlasts the session.
    """
    revisions = request.app[FEED].revisions
    session, followers = request[SESSION], request.app[FOLLOWERS]
    seconds = min(wait_seconds(request), session.remaining_s)
    if seconds and followers.refusal(session) is None:
        since = _single_value(request.query, "since") or _client_revision(request)
        known = since or revisions.current(key)
        loop = asyncio.get_running_loop()
        with followers.admitted(session), suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                with when_lost(request, lambda: limit.reschedule(loop.time())):
                    await revisions.wait(known, key)
    return revisions.current(key)


def not_modified(request: web.Request, revision: Revision) -> web.Response | None:
    """The response 304 if ``If-None-Match`` has the revision; else None (RFC 9110 13.1.2)."""
    # Weak comparison (RFC 9110 section 8.8.3.2): the prefix W/ is no part of the value. `*` matches
    # any representation.
    if any(tag.value in (revision, "*") for tag in request.if_none_match or ()):
        # RFC 9110 section 15.4.5: a 304 has the ETag of the 200.
        return set_etag(web.Response(status=HTTPStatus.NOT_MODIFIED), revision)
    return None


def set_etag(response: web.Response, revision: Revision) -> web.Response:
    """Set the revision as a weak ``ETag`` (RFC 9110 section 8.8.3); returns the response."""
    response.headers[hdrs.ETAG] = f'W/"{revision}"'
    return response


def _client_revision(request: web.Request) -> str | None:
    return next((tag.value for tag in request.if_none_match or ()), None)
