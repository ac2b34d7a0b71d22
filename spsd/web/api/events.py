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
from spsd.jobs.feed import Change, Feed, Removal, Subscriber
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


class RemovedEvent(Shape):
    """A record that is there no more."""

    key: str


@dataclass(frozen=True, slots=True)
class EventPosition:
    """How far a reader has been told: its id of an event, from which it may go on.

    Whoever has this place has been told of so many removals, and of every move up to ``move``.
    """

    life: str
    removals: int
    transition: int

    def event(self, name: str, data: bytes) -> bytes:
        """An event that has brought the reader here."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(self).encode(), name.encode(), data)

    def after(self, change: Change | Removal) -> "EventPosition":
        """Once told of that as well."""
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
    """Each change as an event, so ordered that a reader may be cut off after any of them."""
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


# Readers that keep up stand at one place and are told the same: it is put together once.
@lru_cache(maxsize=64)
def _batch(
    position: EventPosition, changes: tuple[Change | Removal, ...], encode: Encode
) -> tuple[EventPosition, bytes]:
    steps = list(encode_events(position, changes, encode))
    last = steps[-1][0] if steps else position
    return last, b"".join(event for _, event in steps)


def parse_position(text: str, *, life: str) -> EventPosition | None:
    """The place that an id names; None: none of this daemon's."""
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
    _reject_query(request)
    feed = request.app[FEED]
    async with feed.subscribe() as subscriber:
        position = parse_position(request.headers.get(LAST_ID, ""), life=feed.revisions.life)
        missed = (
            None
            if position is None
            else await feed.changes_since(position.transition, position.removals)
        )
        if position is None or missed is None:
            position = await _current_position(feed)
            first = position.event("snapshot", await listed())
        else:
            position, first = _batch(position, tuple(missed), _item)
        return await _stream(request, subscriber, position, first, _item)


async def stream_one(
    request: web.Request, key: JobKey, got: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """One download until its record is removed; ``got`` gives its document.

    Raises:
        InvalidQueryError: there is a query.
        TooManyReadersError: others read along already.
    """
    _reject_query(request)
    feed = request.app[FEED]
    async with feed.subscribe(key) as subscriber:
        position = await _current_position(feed)
        first = position.event("download", await got())
        return await _stream(request, subscriber, position, first, _document)


def _reject_query(request: web.Request) -> None:
    for name in request.query:
        raise InvalidQueryError(f"A stream of events takes no `{name}`.", field=name)


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
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    renew(request, response)
    # A client that has gone is noticed by the one or the other.
    with suppress(ConnectionError), when_lost(request, subscriber.end):
        await response.prepare(request)
        # A first chunk in any case: a client that waits for one shows that it is connected.
        await response.write(first or _QUIET)
        async for changes in _batches(request, subscriber):
            position, events = _batch(position, tuple(changes), encode)
            await response.write(events or _QUIET)
    return response


async def _batches(
    request: web.Request, subscriber: Subscriber
) -> AsyncIterator[Sequence[Change | Removal]]:
    """What is new, until it is over; nothing of it after a while without."""
    loop, keep_s = asyncio.get_running_loop(), request.app[LIMITS].events_keep_s
    until = loop.time() + keep_s
    while True:
        try:
            async with asyncio.timeout_at(until):
                changes = await subscriber.changes()
            if not changes:
                return
        except TimeoutError:
            changes = ()
        if loop.time() >= until:
            if not await _session_is_valid(request):
                return
            until = loop.time() + keep_s
        yield changes
        if subscriber.follows_one and any(isinstance(one, Removal) for one in changes):
            return


async def _session_is_valid(request: web.Request) -> bool:
    try:
        return await session_of(request) is not None
    except DatabaseError:
        return False


def _item(change: Change) -> bytes:
    return msgspec.json.encode(downloads.item(change.job))


def _document(change: Change) -> bytes:
    return msgspec.json.encode(downloads.one(change.job))
