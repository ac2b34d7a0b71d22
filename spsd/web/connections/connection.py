"""The connections of clients: a limit of their number, of what they hold, and of their time.

aiohttp handles a request only when its head is complete, and has no limit for a whole head, for the
time that it takes, or for a client that does not read its response. Therefore :class:`Connection`
is a protocol between the socket and aiohttp's protocol. It passes on the bytes of one request at a
time, so that it knows which of them belong to a head, and records times.
:mod:`~spsd.web.connections.slow_clients` decides which connection is closed. Times are monotonic
seconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, assert_never, cast

from spsd.system.memory import return_freed_memory
from spsd.web.connections.heads import MOST_HEAD_BYTES, HeadReader
from spsd.web.connections.refusals import FULL, LONG_HEAD, MANY_HEADS, SLOW_HEAD
from spsd.web.connections.slow_clients import (
    ClientTimeouts,
    ConnectionActivity,
    EvictionOrder,
    SlowClient,
    Standing,
    slow_client,
)
from spsd.web.connections.turns import EARLY_AT_A_TIME, EARLY_PAUSE_S, Stage, Turns
from spsd.web.connections.unsent import UnsentBodies

_log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
"""Interval in which the connections are checked; a limit may be exceeded by as much."""
MOST_HEADS_BYTES: Final = 4 * 1024 * 1024
"""What the unfinished heads of all connections may have together."""
MOST_REFUSED: Final = 16
"""Connections over the limit that may be open at a time, to get a response that says so."""
REFUSAL_LINGER_S: Final = 1.0
"""Seconds that a refused client has to read the response and to close the connection."""
MANY: Final = 64
"""Connections at a time after which their memory is returned to the system."""
RETURN_MEMORY_EVERY_S: Final = 10.0
"""Shortest time in seconds between two such returns."""
WRITE_BUFFER_BYTES: Final = 32 * 1024
"""Unsent bytes of a connection at which a response waits for its client."""


class Connections:
    """The open connections: at most ``limit``, each within ``timeouts``."""

    def __init__(
        self,
        *,
        limit: int,
        timeouts: ClientTimeouts | None = None,
        look_every_s: float = LOOK_EVERY_S,
        most_heads_bytes: int = MOST_HEADS_BYTES,
    ) -> None:
        self._look_every_s = look_every_s
        self._limit = limit
        self._timeouts = timeouts or ClientTimeouts()
        self._most_heads_bytes = most_heads_bytes
        self._open: set[Connection] = set()
        self._most_open = 0
        """The most connections at a time since memory was returned to the system."""
        self._refused: set[Connection] = set()
        self._heads: dict[Connection, int] = {}
        self._heads_bytes = 0
        self.order: EvictionOrder[Connection] = EvictionOrder(spared=limit // 8)
        self._unsent = UnsentBodies()
        self.early_requests: Turns[Connection] = Turns(EARLY_AT_A_TIME, pause_s=EARLY_PAUSE_S)
        self._warned_at = -3600.0

    def __len__(self) -> int:
        return len(self._open)

    async def watch(self) -> None:
        """Close idle and slow connections, until cancelled.

        After many connections their memory is returned to the system.
        """
        returned_at = time.monotonic()
        while True:
            await asyncio.sleep(self._look_every_s)
            now = time.monotonic()
            if self._most_open >= MANY and now - returned_at >= RETURN_MEMORY_EVERY_S:
                await asyncio.to_thread(return_freed_memory)
                self._most_open, returned_at = len(self._open), now
            for connection in [each for each in self._open | self._refused if not each.ended]:
                activity = connection.activity(now, self._timeouts.read_bytes)
                reason = slow_client(activity, self._timeouts, now=now)
                if reason is not None:
                    connection.end(SLOW_HEAD if reason is SlowClient.SLOW_HEAD else b"")

    def admit(self, new: "Connection") -> bool:
        """Add an accepted connection; at the limit, another one is closed for it.

        If there is none to close, because each has a request whose handler runs, the new one is
        added only to be refused (:attr:`Connection.refused`). Returns False if there are too many
        of these; the caller then closes the socket.
        """
        if len(self._open) >= self._limit:
            self._warn_full()
            if not self.evict():
                if len(self._refused) >= MOST_REFUSED:
                    return False
                self._refused.add(new)
                new.refused = True
                return True
        self._open.add(new)
        self._most_open = max(self._most_open, len(self._open))
        self.order.opened(new, new.address)
        return True

    def evict(self, standing: Standing | None = None) -> bool:
        """Close the next connection, of this standing if one is given; False if there is none."""
        evicted = self.order.next_to_evict(standing)
        if evicted is None:
            return False
        self.forget(evicted)
        evicted.abort()
        return True

    def forget(self, closed: "Connection") -> None:
        """Remove a closed connection."""
        self._open.discard(closed)
        self._refused.discard(closed)
        self.head_has(closed, 0)
        self.order.closed(closed)

    def close(self) -> None:
        """Abort the connections on which no request can have been received."""
        for connection in [each for each in self._open | self._refused if not each.opened]:
            self.forget(connection)
            connection.abort()

    def head_has(self, connection: "Connection", size: int) -> None:
        """The unfinished head of the connection has ``size`` bytes; 0: it has none.

        If all unfinished heads together are too long, the longest one is refused.
        """
        self._heads_bytes += size - self._heads.pop(connection, 0)
        if size:
            self._heads[connection] = size
        while self._heads_bytes > self._most_heads_bytes:
            longest = max(self._heads, key=self._heads.__getitem__)
            self.head_has(longest, 0)
            longest.end(MANY_HEADS)

    @contextmanager
    def sending(self, body: bytes) -> Iterator[None]:
        """Within the context a response with ``body`` is sent.

        If the bodies of all responses together are too long, connections whose clients do not read
        are closed.
        """
        with self._unsent.sending(body):
            while self._unsent.are_too_many and self.evict(Standing.NOT_READING):
                pass
            yield

    def _warn_full(self) -> None:
        if time.monotonic() - self._warned_at >= 60:
            self._warned_at = time.monotonic()
            _log.warning(
                "The limit of %d open connections is reached: each new one replaces an idle one",
                self._limit,
            )


class _Framing(Enum):
    """What the next bytes of a connection belong to."""

    HEAD = auto()
    BODY = auto()
    NEXT_REQUEST = auto()
    """The next request; they are held until the present one has its response."""


class Connection(asyncio.Protocol):
    """The protocol of one connection: passes its events to aiohttp's, one request at a time.

    ``address`` is that of the client, for fairness among addresses. It exists from the accepted
    socket on; ``factory`` makes aiohttp's protocol when the first bytes of a request may follow.
    """

    def __init__(
        self, connections: Connections, factory: Callable[[], asyncio.Protocol], address: str
    ) -> None:
        self.address = address
        self.refused = False
        """Whether it gets a 503 in place of a response."""
        self._connections = connections
        self._factory = factory
        self._inner: asyncio.Protocol | None = None
        self._drop_socket: Callable[[], None] | None = None
        self._raw: asyncio.Transport | None = None
        """The transport of the socket; over TLS, the one below ``_transport``."""
        self._transport: asyncio.Transport | None = None
        self._handlers = 0
        """Number of requests whose handlers run."""
        self._sending = False
        """Whether a handler has ended with a long body, which is not sent yet."""
        self._idle_since = time.monotonic()
        self._head_since: float | None = None
        self._framing = _Framing.HEAD
        self._head = HeadReader()
        self._body_left: int | None = 0
        """Bytes of the body that are not received yet; None: the body is chunked."""
        self._held = bytearray()
        self._blocked: tuple[float, int] | None = None
        """Start of the wait for the client to read, and the number of unsent bytes then."""
        self._ended = False
        self._lingering: asyncio.TimerHandle | None = None
        self._on_lost: Callable[[], object] | None = None
        self._body_reader: asyncio.Task[None] | None = None

    def accepted(self, drop_socket: Callable[[], None]) -> None:
        """The socket waits for its first bytes, then for its turn; ``drop_socket`` closes it."""
        self._drop_socket = drop_socket

    def begun(self) -> None:
        """The first bytes have arrived."""
        self._connections.order.place(self, Standing.NO_RESPONSE)

    def opening(self) -> None:
        """The socket gets its transport, which closes it from now on."""
        self._drop_socket = None

    def handshake_began(self, raw: asyncio.Transport) -> None:
        """The TLS handshake begins on this transport."""
        self._raw = raw
        raw.set_write_buffer_limits(high=WRITE_BUFFER_BYTES // 2)
        self._head_since = time.monotonic()
        if self._ended:  # while the transport was made
            raw.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection on, or refuse it with 503 at the limit."""
        self._transport = cast(asyncio.Transport, transport)
        self._raw = self._raw or self._transport
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._idle_since = time.monotonic()
        self._head_since = None
        if self._ended:  # while the transport was made
            self._transport.abort()
        elif self.refused:
            self._head_since = time.monotonic()
        else:
            self._inner = self._factory()
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass received bytes on; the first one of a head starts its time limit."""
        if self._ended:
            return
        if self._inner is None:
            self.end(FULL)
            return
        match self._framing:
            case _Framing.HEAD:
                self._head_received(self._inner, data)
            case _Framing.BODY:
                self._body_received(self._inner, data)
            case _Framing.NEXT_REQUEST:
                self._hold(data)
            case _:
                assert_never(self._framing)

    def _head_received(self, inner: asyncio.Protocol, data: bytes) -> None:
        if self._head_since is None:
            self._head_since = time.monotonic()
        end = self._head.feed(data)
        if self._head.size > MOST_HEAD_BYTES:
            self.end(LONG_HEAD)
        elif end is None:
            self._connections.head_has(self, self._head.size)
            if not self._ended:
                inner.data_received(data)
        else:
            self._connections.head_has(self, 0)
            # The handler starts in a later iteration of the loop, and states the body's length.
            self._framing = _Framing.NEXT_REQUEST
            inner.data_received(data[:end])
            self._hold(data[end:])

    def _body_received(self, inner: asyncio.Protocol, data: bytes) -> None:
        if self._body_left is None:
            inner.data_received(data)
            return
        body, rest = data[: self._body_left], data[self._body_left :]
        self._body_left -= len(body)
        inner.data_received(body)
        if not self._body_left:
            self._framing = _Framing.NEXT_REQUEST
            self._hold(rest)
            if not self._responding:
                self._request_ended()

    def _request_ended(self) -> None:
        """The request is complete and has its response; the next may begin, an early one later."""
        if self._held:
            self._connections.early_requests.wait(
                self, self.address, Stage.EARLY_REQUEST, self._begin_request
            )
        else:
            self._begin_request()

    def _begin_request(self) -> None:
        self._framing, self._head = _Framing.HEAD, HeadReader()
        self._release()

    def _hold(self, data: bytes) -> None:
        if data:
            self._held += data
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def _release(self) -> None:
        """Take the held bytes as if they were received now."""
        if not self._held:
            return
        data = bytes(self._held)
        self._held.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self.data_received(data)

    def eof_received(self) -> bool | None:
        """The client has closed its direction."""
        return None if self._ended or self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client reads more slowly than the response is written."""
        self._blocked = (time.monotonic(), self._unsent())
        self._connections.order.place(self, Standing.NOT_READING)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self._blocked = None
        self._connections.order.place(self, None if self._responding else Standing.IDLE)
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by the client or by us."""
        self._connections.early_requests.discard(self, self.address)
        self._connections.forget(self)
        self._ended = True
        if self._lingering is not None:
            self._lingering.cancel()
        self._raw = self._transport = None
        self._held.clear()
        if self._on_lost is not None:
            self._on_lost()
        if self._body_reader is not None:
            # aiohttp would wait for the rest of the body, and nothing would wait for that task.
            self._body_reader.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def handler_started(self, body_length: int | None) -> None:
        """The head of a request is complete, and its handler starts.

        ``body_length`` is the number of bytes of its body; None: the body is chunked.
        """
        self._handlers += 1
        self._head_since = None
        self._body_reader = None
        self._connections.order.place(self, None)
        self._body_left = body_length
        if body_length != 0:
            self._framing = _Framing.BODY
            self._release()

    def handler_ended(self, *, body_reader: "asyncio.Task[None] | None" = None) -> None:
        """The handler has ended, and aiohttp sends the response before anything else can run.

        Only a long body is sent later, within :meth:`sending`.
        ``body_reader`` is aiohttp's task that then reads the rest of the request body, if any.
        """
        self._handlers -= 1
        self._body_reader = body_reader
        asyncio.get_running_loop().call_soon(self._responded)

    def _responded(self) -> None:
        """The response is sent: the next request may begin."""
        if self._responding or self._ended:
            return
        self._idle_since = time.monotonic()
        self._connections.order.place(self, Standing.IDLE)
        if self._framing is _Framing.NEXT_REQUEST:
            self._request_ended()

    @contextmanager
    def when_lost(self, callback: Callable[[], object]) -> Iterator[None]:
        """Within the context: call ``callback`` when the connection is lost, or was lost before."""
        self._on_lost = callback
        if self._transport is None:
            callback()
        try:
            yield
        finally:
            self._on_lost = None

    @property
    def opened(self) -> bool:
        """Whether requests can be received: the TLS handshake, if any, is complete."""
        return self._transport is not None

    @property
    def ended(self) -> bool:
        """Whether it was closed with :meth:`end`; the transport may still be closing."""
        return self._ended

    def activity(self, now: float, read_bytes: int) -> ConnectionActivity:
        """The present activity; a client that has read ``read_bytes`` gets a new time limit."""
        if self._blocked is not None and self._blocked[1] - self._unsent() >= read_bytes:
            self._blocked = (now, self._unsent())
        return ConnectionActivity(
            handling=self._responding,
            idle_since=self._idle_since,
            head_since=self._head_since,
            blocked_since=None if self._blocked is None else self._blocked[0],
        )

    def end(self, response: bytes = b"") -> None:
        """Close the connection without waiting for requests; send ``response`` if possible.

        A second call does nothing: asyncio's TLS (3.11) raises when a transport is closed twice. A
        client that sends no TLS close_notify is dropped by the time limit of the listener.
        """
        if self._ended:
            return
        if self._transport is None or self._transport.is_closing():
            # It has no TLS session yet, or aiohttp closed it and the client did not read the rest.
            self.abort()
            return
        if response and not self._unsent():
            self._transport.write(response)
            self.linger()
        else:
            self._ended = True
            # close() would wait until the client has read the unsent bytes.
            self._transport.abort() if self._unsent() else self._transport.close()

    def linger(self) -> None:
        """The last response is written: drop what the client sends until it closes, or for a while.

        If the connection were closed while the client sends, the client might never see the
        response (RFC 9112 section 9.6).
        """
        if self._ended or self._transport is None or self._transport.is_closing():
            return
        self._ended = True
        self._held.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self._lingering = loop.call_later(REFUSAL_LINGER_S, self.abort)

    def abort(self) -> None:
        """Close the connection at once, in any state: nothing more is sent."""
        self._ended = True
        if self._raw is not None:
            self._raw.abort()
        elif self._drop_socket is not None:
            self._drop_socket()
            self._drop_socket = None
            self._connections.forget(self)

    @contextmanager
    def sending(self, body: bytes) -> Iterator[None]:
        """Within the context a response with ``body`` is sent to the client."""
        self._sending = True
        try:
            with self._connections.sending(body):
                yield
        finally:
            self._sending = False
            asyncio.get_running_loop().call_soon(self._responded)

    @property
    def _responding(self) -> bool:
        return self._handlers > 0 or self._sending

    def _unsent(self) -> int:
        transports = {self._raw, self._transport} - {None}
        return sum(each.get_write_buffer_size() for each in transports if each is not None)
