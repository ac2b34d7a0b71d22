"""Downloads as server-sent events (HTML standard, section 9.2). An extension of spsd.

A client requests the stream with ``Accept: text/event-stream``. The stream of all downloads begins
with the event ``snapshot``, which has the document of the plain GET. A client that reconnects with
``Last-Event-ID`` receives the events that it missed instead. Then follow ``download``, which has an
item of the list, and ``removed``. The stream of one download begins with its document.

Each event has an id, an :class:`EventPosition`, from which the stream can continue.
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
from spsd.jobs.feed import Change, Feed, Removal, Subscriber
from spsd.jobs.job import JobKey
from spsd.storage.faults import DatabaseError
from spsd.web.api import download_json as downloads
from spsd.web.api.query import FEED
from spsd.web.contract import EVENT_STREAM
from spsd.web.limits import LIMITS
from spsd.web.middleware.auth import renew_cookie, session_of
from spsd.web.middleware.connections import when_lost
from spsd.web.responses import Shape

LAST_ID = "Last-Event-ID"
_KEEPALIVE = b": \n\n"
"""A comment, which clients ignore (HTML standard, section 9.2.6)."""
Encode = Callable[[Change], bytes]


class RemovedEvent(Shape):
    """A download whose record was removed."""

    key: str


@dataclass(frozen=True, slots=True)
class EventPosition:
    """A position in the stream; as text, the id of an event.

    A client at this position has received the first ``removals`` removals, and all state
    transitions up to the number ``transition``, of the daemon run with the id ``life``.
    """

    life: str
    removals: int
    transition: int

    def event(self, name: str, data: bytes) -> bytes:
        """The event after which the client is at this position (HTML standard, section 9.2.5)."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(self).encode(), name.encode(), data)

    def after(self, change: Change | Removal) -> "EventPosition":
        """The position after ``change`` as well."""
        match change:
            case Change(number=number):
                return replace(self, transition=max(self.transition, number))
            case Removal(removals=removals):
                return replace(self, removals=removals)
            case _:
                assert_never(change)

    def __str__(self) -> str:
        return f"{self.life}.{self.removals}.{self.transition}"


def encode_events(
    position: EventPosition, changes: Iterable[Change | Removal], encode: Encode
) -> Iterator[tuple[EventPosition, bytes]]:
    """Each change as an event, with the position after it.

    The order is such that a client may be disconnected after any event, and misses nothing when it
    continues from there: removals first, then changes by the number of their transition.
    """
    for change in sorted(changes, key=_order):
        position = position.after(change)
        match change:
            case Change():
                yield position, position.event("download", encode(change))
            case Removal(key=key):
                yield position, position.event("removed", msgspec.json.encode(RemovedEvent(key)))
            case _:
                assert_never(change)


def _order(change: Change | Removal) -> tuple[bool, int]:
    match change:
        case Removal(removals=removals):
            return (False, removals)
        case Change(number=number):
            return (True, number)
        case _:
            assert_never(change)


# Subscribers without a backlog are at the same position and receive the same bytes: they are
# encoded once.
@lru_cache(maxsize=64)
def _batch(
    position: EventPosition, changes: tuple[Change | Removal, ...], encode: Encode
) -> tuple[EventPosition, bytes]:
    steps = list(encode_events(position, changes, encode))
    last = steps[-1][0] if steps else position
    return last, b"".join(event for _, event in steps)


def parse_position(text: str, *, life: str) -> EventPosition | None:
    """The position of an event id; None if it is malformed or of another run of the daemon."""
    match text.split("."):
        case [known, removals, transition] if known == life:
            if (
                removals.isascii()
                and removals.isdigit()
                and transition.isascii()
                and transition.isdigit()
            ):
                return EventPosition(life, int(removals), int(transition))
            return None
        case _:
            return None


def accepts_events(request: web.Request) -> bool:
    """Whether a GET request accepts an event stream."""
    if request.method != hdrs.METH_GET:
        return False
    ranges = ",".join(request.headers.getall(hdrs.ACCEPT, [])).split(",")
    # */* does not select the stream: clients that accept anything expect the document.
    return any(each.partition(";")[0].strip().lower() == EVENT_STREAM for each in ranges)


async def stream_all(
    request: web.Request, read_list: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """The stream of all downloads; ``read_list`` returns the document of the list.

    Raises:
        InvalidQueryError: the request has a query.
        TooManyReadersError: the limit of subscribers is reached.
    """
    _reject_query(request)
    feed = request.app[FEED]
    # Step 1: subscribe. Changes from now on are queued, so that none is missed below.
    async with feed.subscribe() as subscriber:
        # Step 2: the position of a client that reconnects (HTML standard, section 9.2.4).
        position = parse_position(request.headers.get(LAST_ID, ""), life=feed.revisions.life)
        missed = (
            None
            if position is None
            else await feed.changes_since(position.transition, position.removals)
        )
        if position is None or missed is None:
            # Step 3: the snapshot. Its position is read before it, so a change may be sent again.
            position = await _current_position(feed)
            first = position.event("snapshot", await read_list())
        else:
            # Step 3, after a reconnection: the missed changes.
            position, first = _batch(position, tuple(missed), _encode_item)
        # Step 4: all further changes.
        return await _stream(request, subscriber, position, first, _encode_item)


async def stream_one(
    request: web.Request, key: JobKey, read_download: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """The stream of one download until its record is removed.

    ``read_download`` returns its document, and raises ResourceNotFoundError if there is none.

    Raises:
        InvalidQueryError: the request has a query.
        TooManyReadersError: the limit of subscribers is reached.
    """
    _reject_query(request)
    feed = request.app[FEED]
    async with feed.subscribe(key) as subscriber:
        position = await _current_position(feed)
        first = position.event("download", await read_download())
        return await _stream(request, subscriber, position, first, _encode_document)


def _reject_query(request: web.Request) -> None:
    for name in request.query:
        raise InvalidQueryError(f"An event stream has no query parameter `{name}`.", field=name)


async def _current_position(feed: Feed) -> EventPosition:
    transition, removals = await feed.position()
    return EventPosition(feed.revisions.life, removals, transition)


async def _stream(
    request: web.Request,
    subscriber: Subscriber,
    position: EventPosition,
    first: bytes,
    encode: Encode,
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = EVENT_STREAM
    response.charset = "utf-8"
    response.headers["X-Accel-Buffering"] = "no"  # nginx must not buffer events
    renew_cookie(request, response)
    # A lost client is noticed by a failed write or, during a wait, by the lost connection.
    with suppress(ConnectionError), when_lost(request, subscriber.end):
        await response.prepare(request)
        # A first chunk in any case: some clients report the connection only then.
        await response.write(first or _KEEPALIVE)
        async for changes in _batches(request, subscriber):
            position, events = _batch(position, tuple(changes), encode)
            await response.write(events or _KEEPALIVE)
    return response


async def _batches(
    request: web.Request, subscriber: Subscriber
) -> AsyncIterator[Sequence[Change | Removal]]:
    """The changes until the stream ends; an empty batch after each quiet interval."""
    loop, interval_s = asyncio.get_running_loop(), request.app[LIMITS].event_keepalive_s
    check_at = loop.time() + interval_s
    while True:
        try:
            async with asyncio.timeout_at(check_at):
                changes = await subscriber.changes()
            if not changes:
                return
        except TimeoutError:
            changes = ()
        if loop.time() >= check_at:
            if not await _session_is_valid(request):
                return
            check_at = loop.time() + interval_s
        yield changes
        if subscriber.follows_one and any(isinstance(change, Removal) for change in changes):
            return


async def _session_is_valid(request: web.Request) -> bool:
    try:
        return await session_of(request) is not None
    except DatabaseError:
        return False


def _encode_item(change: Change) -> bytes:
    return msgspec.json.encode(downloads.download_item(change.job))


def _encode_document(change: Change) -> bytes:
    return msgspec.json.encode(downloads.download_document(change.job))
