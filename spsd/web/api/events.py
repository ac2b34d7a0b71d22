"""Downloads as server-sent events (HTML standard, section 9.2). An extension of spsd.

A client requests the stream with ``Accept: text/event-stream``. The stream of all downloads begins
with the event ``snapshot``, which has the document of the plain GET. A client that reconnects with
``Last-Event-ID`` receives the events that it missed instead. Then follow ``download``, which has an
item of the list, and ``removed``. The stream of one download begins with its document.

Each event has an id, an :class:`EventPosition`, from which the stream can continue.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import assert_never

import msgspec
from aiohttp import web

from spsd.errors import InvalidQueryError, ResourceNotFoundError
from spsd.jobs.feed import Change, Feed, Removal, Subscriber
from spsd.jobs.job import Job, JobKey, Selection
from spsd.storage.faults import DatabaseError
from spsd.web.api import download_json as downloads
from spsd.web.api.query import FEED
from spsd.web.connections.tracking import when_lost
from spsd.web.contract import EVENT_STREAM
from spsd.web.followers import FOLLOWERS
from spsd.web.limits import LIMITS
from spsd.web.middleware.auth import SESSION, renew_cookie, session_of
from spsd.web.responses import Shape

LAST_ID = "Last-Event-ID"
_KEEPALIVE = b": \n\n"
"""A comment, which clients ignore (HTML standard, section 9.2.6)."""
Encode = Callable[[Change], bytes]
ReadPage = Callable[[Selection], Awaitable[Sequence[Job]]]
PAGE = 50
"""Downloads that are read, encoded and written at a time. A client that reads slowly holds no more
of a long list than a page."""
RESUME_BYTES = 1024 * 1024
"""The most that a client that reconnects is sent of what it missed; beyond it begins anew."""


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


class LiveBatches:
    """The batches of the present moment, each encoded once.

    Subscribers without a backlog are at the same position and receive the same changes, so that
    their bytes are the same. Only the newest batches are held: at most :attr:`MOST`, and at most
    :attr:`MOST_BYTES` of them together.
    """

    MOST = 8
    MOST_BYTES = 1024 * 1024

    def __init__(self) -> None:
        self._batches: OrderedDict[object, tuple[EventPosition, bytes]] = OrderedDict()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def encoded(
        self, position: EventPosition, changes: tuple[Change | Removal, ...], encode: Encode
    ) -> tuple[EventPosition, bytes]:
        """The changes as events, and the position after them."""
        # Changes are compared by identity: those of another moment are others.
        name = (position, changes, encode)
        if (batch := self._batches.get(name)) is None:
            batch = _joined(position, changes, encode)
            self._hold(name, batch)
        return batch

    def _hold(self, name: object, batch: tuple[EventPosition, bytes]) -> None:
        self._batches[name] = batch
        self.held_bytes += len(batch[1])
        while len(self._batches) > self.MOST or self.held_bytes > self.MOST_BYTES:
            _, (_, oldest) = self._batches.popitem(last=False)
            self.held_bytes -= len(oldest)


LIVE = LiveBatches()


def _joined(
    position: EventPosition, changes: Iterable[Change | Removal], encode: Encode
) -> tuple[EventPosition, bytes]:
    steps = list(encode_events(position, changes, encode))
    last = steps[-1][0] if steps else position
    return last, b"".join(event for _, event in steps)


_NUMBER = re.compile("[0-9]{1,18}")
"""Digits of a number that SQLite can compare: below 2**63."""


def parse_position(text: str, *, life: str) -> EventPosition | None:
    """The position of an event id; None if it is malformed or of another run of the daemon."""
    match text.split(".", 3):
        case [known, removals, transition] if known == life:
            if _NUMBER.fullmatch(removals) and _NUMBER.fullmatch(transition):
                return EventPosition(life, int(removals), int(transition))
            return None
        case _:
            return None


async def stream_all(request: web.Request, read_page: ReadPage) -> web.StreamResponse:
    """The stream of all downloads; ``read_page`` returns the selected ones.

    It raises ResourceNotFoundError if the download to continue after does not exist.

    Raises:
        InvalidQueryError: the request has a query.
        TooManyReadersError: a limit of event streams and waiting requests is reached.
    """
    _reject_query(request)
    feed = request.app[FEED]
    # Step 1: subscribe. Changes from now on are queued, so that none is missed below.
    with request.app[FOLLOWERS].admitted(request[SESSION]):
        async with feed.subscribe() as subscriber:
            # Step 2: the position of a client that reconnects (HTML standard, section 9.2.4).
            known = parse_position(request.headers.get(LAST_ID, ""), life=feed.revisions.life)
            missed = None if known is None else await _missed_events(feed, known)
            if missed is None:
                # Step 3: the snapshot. Its position is read before it, so a change may be sent
                # again.
                position = await _current_position(feed)
                first = _snapshot(position, read_page)
            else:
                # Step 3, after a reconnection: the missed changes.
                position, events = missed
                first = _pieces(events)
            # Step 4: all further changes.
            return await _stream(request, subscriber, position, first, _encode_item)


async def stream_one(
    request: web.Request, key: JobKey, read_download: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """The stream of one download until its record is removed.

    ``read_download`` returns its document, and raises ResourceNotFoundError if there is none.

    Raises:
        InvalidQueryError: the request has a query.
        TooManyReadersError: a limit of event streams and waiting requests is reached.
    """
    _reject_query(request)
    feed = request.app[FEED]
    with request.app[FOLLOWERS].admitted(request[SESSION]):
        async with feed.subscribe(key) as subscriber:
            position = await _current_position(feed)
            first = _pieces(position.event("download", await read_download()))
            return await _stream(request, subscriber, position, first, _encode_document)


async def _missed_events(feed: Feed, position: EventPosition) -> tuple[EventPosition, bytes] | None:
    """What a client at this position has missed; None if that is unknown, or too much."""
    missed = await feed.changes_since(position.transition, position.removals)
    if missed is None:
        return None
    # Not one of LIVE: no other client gets the same.
    position, events = _joined(position, missed, _encode_item)
    return (position, events) if len(events) <= RESUME_BYTES else None


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


async def _snapshot(position: EventPosition, read_page: ReadPage) -> AsyncGenerator[bytes, None]:
    """The event ``snapshot``, whose data is the list of all downloads, a page at a time."""
    empty = position.event("snapshot", msgspec.json.encode(downloads.download_list([])))
    begin, _, end = empty.partition(b"[]")
    before = begin + b"["
    async with aclosing(_encoded_pages(read_page)) as pages:
        async for page in pages:
            yield before + page
            before = b","
    yield (before if before != b"," else b"") + b"]" + end


async def _encoded_pages(read_page: ReadPage) -> AsyncGenerator[bytes, None]:
    """All downloads as items with commas between them, a page at a time; no page is empty.

    Changes between two pages are queued for the subscriber, and follow the snapshot.
    """
    last: list[JobKey] = []
    while True:
        jobs = await _next_page(read_page, last)
        if not jobs:
            return
        last = [*last, *(job.key for job in jobs)][-PAGE:]
        page = b",".join(msgspec.json.encode(downloads.download_item(job)) for job in jobs)
        del jobs  # the next line waits for the client, and a job may be larger than its item
        yield page


class _PlaceLostError(Exception):
    """All records of a whole page were removed before the next one was read."""


async def _next_page(read_page: ReadPage, last: Sequence[JobKey]) -> Sequence[Job]:
    """The downloads after ``last``, the newest that have been read."""
    for key in reversed(last):
        try:
            jobs = await read_page(Selection(after=key, limit=PAGE))
        except ResourceNotFoundError:
            continue  # its record has been removed: continue after the one before it
        return [job for job in jobs if job.key not in last]
    if last:
        raise _PlaceLostError
    return await read_page(Selection(limit=PAGE))


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
    first: AsyncGenerator[bytes, None],
    encode: Encode,
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = EVENT_STREAM
    response.charset = "utf-8"
    response.headers["X-Accel-Buffering"] = "no"  # nginx must not buffer events
    renew_cookie(request, response)
    async with aclosing(first):
        # Until the head is sent, an error is the response.
        begin = await anext(first)
        # A lost client is noticed by a failed write or, during a wait, by the lost connection. A
        # snapshot that cannot be completed ends the stream: the client ignores an incomplete event,
        # and requests another stream.
        ends = (ConnectionError, DatabaseError, _PlaceLostError)
        with suppress(*ends), when_lost(request, subscriber.end):
            await response.prepare(request)
            # A first chunk in any case: some clients report the connection only then.
            await response.write(begin or _KEEPALIVE)
            async for piece in first:
                await response.write(piece)
            async for changes in _batches(request, subscriber):
                for batch in _in_pages(changes):
                    position, events = LIVE.encoded(position, batch, encode)
                    await response.write(events or _KEEPALIVE)
    return response


def _in_pages(
    changes: Sequence[Change | Removal],
) -> Iterator[tuple[Change | Removal, ...]]:
    """The changes in the order of their events, a page at a time; one empty page for none."""
    ordered = sorted(changes, key=_order)
    for start in range(0, max(1, len(ordered)), PAGE):
        yield tuple(ordered[start : start + PAGE])


async def _batches(
    request: web.Request, subscriber: Subscriber
) -> AsyncIterator[Sequence[Change | Removal]]:
    """The changes until the stream ends; an empty batch after each quiet interval."""
    loop, interval_s = asyncio.get_running_loop(), request.app[LIMITS].event_keepalive_s
    # The stream ends with its session.
    check_at = loop.time() + min(interval_s, request[SESSION].remaining_s)
    while True:
        try:
            async with asyncio.timeout_at(check_at):
                changes = await subscriber.changes()
            if not changes:
                return
        except TimeoutError:
            changes = ()
        if loop.time() >= check_at:
            remaining_s = await _session_remaining_s(request)
            if remaining_s <= 0:
                return
            check_at = loop.time() + min(interval_s, remaining_s)
        yield changes
        if subscriber.follows_one and any(isinstance(change, Removal) for change in changes):
            return


async def _session_remaining_s(request: web.Request) -> int:
    """Seconds until the session of the stream ends; 0: it has ended, or cannot be read."""
    try:
        session = await session_of(request)
    except DatabaseError:
        return 0
    return 0 if session is None else session.remaining_s


def _encode_item(change: Change) -> bytes:
    return msgspec.json.encode(downloads.download_item(change.job))


def _encode_document(change: Change) -> bytes:
    return msgspec.json.encode(downloads.download_document(change.job))
