"""Downloads as server-sent events, for whoever asks with ``Accept: text/event-stream``. Ours.

The stream of all begins with ``snapshot``, the document of the plain GET, or, for a reader that
comes back with ``Last-Event-ID``, with what it has missed. Then come ``download``, an item of that
list, and ``removed``. That of one download begins with its document.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from aiohttp import hdrs, web

from spsd.domain.database import DatabaseError
from spsd.domain.errors import InvalidQueryError
from spsd.domain.job import JobKey
from spsd.services.feed import Change, Feed, Reader, Removal
from spsd.web import downloads
from spsd.web.answers import Shape
from spsd.web.auth import renew, session_of
from spsd.web.connections import when_lost
from spsd.web.contract import EVENT_STREAM
from spsd.web.waiting import FEED

KEEP_S = 15.0
"""After so long a comment is sent, and the reader's session has to be one still."""

LAST_ID = "Last-Event-ID"
_QUIET = b": \n\n"

Encode = Callable[[Change], bytes]


class Gone(Shape):
    """A record that is there no more."""

    key: str


@dataclass(slots=True)
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

    def told(self, changes: Sequence[Change | Removal], encode: Encode) -> Iterator[bytes]:
        """The changes as events, so ordered that the reader may be cut off after any of them."""
        for gone in sorted(_removals(changes), key=lambda one: one.removals):
            self.removals = gone.removals
            yield self.event("removed", msgspec.json.encode(Gone(gone.key)))
        for change in sorted(_moves(changes), key=lambda one: one.move):
            self.move = max(self.move, change.move)
            yield self.event("download", encode(change))

    def __str__(self) -> str:
        return f"{self.life}.{self.removals}.{self.move}"


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
            first = b"".join(place.told(missed, _item))
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
            await response.write(b"".join(place.told(changes, encode)) or _QUIET)
    return response


async def _batches(
    request: web.Request, reader: Reader
) -> AsyncIterator[Sequence[Change | Removal]]:
    """What is new, until it is over; nothing of it after a while without."""
    loop = asyncio.get_running_loop()
    until = loop.time() + KEEP_S
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
            until = loop.time() + KEEP_S
        yield changes
        if reader.of_one and any(_removals(changes)):
            return


async def _may_go_on(request: web.Request) -> bool:
    try:
        return await session_of(request) is not None
    except DatabaseError:
        return False


def _removals(changes: Sequence[Change | Removal]) -> Iterator[Removal]:
    return (one for one in changes if isinstance(one, Removal))


def _moves(changes: Sequence[Change | Removal]) -> Iterator[Change]:
    return (one for one in changes if isinstance(one, Change))


# Each change is encoded once, however many read along.
@lru_cache(maxsize=256)
def _item(change: Change) -> bytes:
    return msgspec.json.encode(downloads.item(change.job))


@lru_cache(maxsize=256)
def _document(change: Change) -> bytes:
    return msgspec.json.encode(downloads.one(change.job))
