"""The query of a list of downloads, and the link to the next page. Both are spsd's own.

The documented list has neither paging nor filtering, and a body with a shape of its own: what tells
of pages is a header field (RFC 8288).
"""

import re
from collections.abc import Sequence
from typing import get_args
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from spsd.errors import InvalidQueryError
from spsd.jobs.job import Job, JobKey, Selection
from spsd.jobs.lifecycle import JobState
from spsd.web.contract import Field
from spsd.web.downloads import Status, status_of
from spsd.web.paths import FETCH

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
