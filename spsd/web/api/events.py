"""Downloads as server-sent events, for whoever asks with ``Accept: text/event-stream``. Ours.

The stream of all begins with ``snapshot``, the document of the plain GET, or, for a reader that
comes back with ``Last-Event-ID``, with what it has missed. Then come ``download``, an item of that
list, and ``removed``. That of one download begins with its document.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import assert_never

import msgspec
from aiohttp import hdrs, web

from spsd.errors import InvalidQueryError
from spsd.jobs.feed import Change, Feed, Reader, Removal
from spsd.jobs.job import JobKey
from spsd.storage.faults import DatabaseError
from spsd.web.api import download_json as downloads
from spsd.web.api.query import FEED
from spsd.web.contract import EVENT_STREAM
from spsd.web.limits import LIMITS
from spsd.web.middleware.auth import renew, session_of
from spsd.web.middleware.connections import when_lost
from spsd.web.responses import Shape

LAST_ID = "Last-Event-ID"
_QUIET = b": \n\n"
Encode = Callable[[Change], bytes]


class Gone(Shape):
    """A record that is there no more."""

    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader has been told: its id of an event, from which it may go on.

    Whoever has this place has been told of so many removals, and of every move up to ``move``.
    """

    life: str
    removals: int
    move: int

    def event(self, name: str, data: bytes) -> bytes:
        """An event that has brought the reader here."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(self).encode(), name.encode(), data)

    def after(self, change: Change | Removal) -> "Place":
        """Once told of that as well."""
        match change:
            case Change(move=move):
                return replace(self, move=max(self.move, move))
            case Removal(removals=removals):
                return replace(self, removals=removals)
            case _:
                assert_never(change)

    def __str__(self) -> str:
        return f"{self.life}.{self.removals}.{self.move}"


def told(
    place: Place, changes: Iterable[Change | Removal], encode: Encode
) -> Iterator[tuple[Place, bytes]]:
    """Each change as an event, so ordered that a reader may be cut off after any of them."""
    for change in sorted(changes, key=_order):
        place = place.after(change)
        match change:
            case Change():
                yield place, place.event("download", encode(change))
            case Removal(key=key):
                yield place, place.event("removed", msgspec.json.encode(Gone(key)))
            case _:
                assert_never(change)


def _order(change: Change | Removal) -> tuple[bool, int]:
    match change:
        case Removal(removals=removals):
            return (False, removals)
        case Change(move=move):
            return (True, move)
        case _:
            assert_never(change)


# Readers that keep up stand at one place and are told the same: it is put together once.
@lru_cache(maxsize=64)
def _batch(
    place: Place, changes: tuple[Change | Removal, ...], encode: Encode
) -> tuple[Place, bytes]:
    steps = list(told(place, changes, encode))
    last = steps[-1][0] if steps else place
    return last, b"".join(event for _, event in steps)


def place_of(text: str, *, life: str) -> Place | None:
    """The place that an id names; None: none of this daemon's."""
    match text.split("."):
        case [known, removals, move] if known == life:
            if removals.isascii() and removals.isdigit() and move.isascii() and move.isdigit():
                return Place(life, int(removals), int(move))
            return None
        case _:
            return None


def wanted(request: web.Request) -> bool:
    """Whether the client asks for events and not for a document."""
    if request.method != hdrs.METH_GET:
        return False
    kinds = ",".join(request.headers.getall(hdrs.ACCEPT, [])).split(",")
    return any(kind.partition(";")[0].strip().lower() == EVENT_STREAM for kind in kinds)


async def stream_all(
    request: web.Request, listed: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """Every download; ``listed`` gives the document of all of them.

    Raises:
        InvalidQueryError: the query asks for some of them.
        TooManyReadersError: others read along already.
    """
    _takes_no_query(request)
    feed = request.app[FEED]
    async with feed.reading() as reader:
        place = place_of(request.headers.get(LAST_ID, ""), life=feed.revisions.life)
        missed = None if place is None else await feed.since(place.move, place.removals)
        if place is None or missed is None:
            place = await _present(feed)
            first = place.event("snapshot", await listed())
        else:
            place, first = _batch(place, tuple(missed), _item)
        return await _stream(request, reader, place, first, _item)


async def stream_one(
    request: web.Request, key: JobKey, got: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """One download until its record is removed; ``got`` gives its document.

    Raises:
        InvalidQueryError: there is a query.
        TooManyReadersError: others read along already.
    """
    _takes_no_query(request)
    feed = request.app[FEED]
    async with feed.reading(key) as reader:
        place = await _present(feed)
        first = place.event("download", await got())
        return await _stream(request, reader, place, first, _document)


def _takes_no_query(request: web.Request) -> None:
    for name in request.query:
        raise InvalidQueryError(f"A stream of events takes no `{name}`.", field=name)


async def _present(feed: Feed) -> Place:
    move, removals = await feed.now()
    return Place(feed.revisions.life, removals, move)


async def _stream(
    request: web.Request, reader: Reader, place: Place, first: bytes, encode: Encode
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = EVENT_STREAM
    response.charset = "utf-8"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    renew(request, response)
    # A client that has gone is noticed by the one or the other.
    with suppress(ConnectionError), when_lost(request, reader.end):
        await response.prepare(request)
        # A first chunk in any case: a client that waits for one shows that it is connected.
        await response.write(first or _QUIET)
        async for changes in _batches(request, reader):
            place, events = _batch(place, tuple(changes), encode)
            await response.write(events or _QUIET)
    return response


async def _batches(
    request: web.Request, reader: Reader
) -> AsyncIterator[Sequence[Change | Removal]]:
    """What is new, until it is over; nothing of it after a while without."""
    loop, keep_s = asyncio.get_running_loop(), request.app[LIMITS].events_keep_s
    until = loop.time() + keep_s
    while True:
        try:
            async with asyncio.timeout_at(until):
                changes = await reader.changes()
            if not changes:
                return
        except TimeoutError:
            changes = ()
        if loop.time() >= until:
            if not await _may_go_on(request):
                return
            until = loop.time() + keep_s
        yield changes
        if reader.of_one and any(isinstance(one, Removal) for one in changes):
            return


async def _may_go_on(request: web.Request) -> bool:
    try:
        return await session_of(request) is not None
    except DatabaseError:
        return False


def _item(change: Change) -> bytes:
    return msgspec.json.encode(downloads.item(change.job))


def _document(change: Change) -> bytes:
    return msgspec.json.encode(downloads.one(change.job))
