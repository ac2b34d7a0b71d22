"""The connections of clients: a limit of their number, and time limits for idle and slow clients.

aiohttp handles a request only when its head is complete, and has no time limit for a head or for a
client that does not read its response. Therefore :class:`Connection` is a protocol between the
socket and aiohttp's protocol: it passes all events on and records their times.
:mod:`~spsd.web.middleware.slow_clients` decides which connection is closed. Times are monotonic
seconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from spsd.web.middleware.slow_clients import (
    ClientTimeouts,
    ConnectionActivity,
    EvictionOrder,
    SlowClient,
    slow_client,
)

_log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
"""Interval in which the connections are checked; a limit may be exceeded by as much."""
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class Connections:
    """The open connections: at most ``limit``, each within ``timeouts``."""

    def __init__(
        self,
        *,
        limit: int,
        timeouts: ClientTimeouts | None = None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._look_every_s = look_every_s
        self._limit = limit
        self._timeouts = timeouts or ClientTimeouts()
        self._open: set[Connection] = set()
        self.order: EvictionOrder[Connection] = EvictionOrder()
        self._warned_at = -3600.0

    def __len__(self) -> int:
        return len(self._open)

    def monitored(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A factory of the same protocols, each behind a :class:`Connection`."""
        return lambda: Connection(self, factory())

    async def watch(self) -> None:
        """Close idle and slow connections, until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            now = time.monotonic()
            for connection in [connection for connection in self._open if not connection.ended]:
                activity = connection.activity(now, self._timeouts.read_bytes)
                reason = slow_client(activity, self._timeouts, now=now)
                if reason is not None:
                    connection.end(_SLOW if reason is SlowClient.SLOW_HEAD else b"")

    def admit(self, new: "Connection") -> bool:
        """Add a connection; at the limit, another one is closed for it.

        Returns False if there is none to close: each has a request whose handler runs.
        """
        if len(self._open) >= self._limit:
            self._warn_full()
            evicted = self.order.next_to_evict()
            if evicted is None:
                return False
            self.forget(evicted)
            evicted.end()
        self._open.add(new)
        self.order.opened(new)
        return True

    def forget(self, closed: "Connection") -> None:
        """Remove a closed connection."""
        self._open.discard(closed)
        self.order.closed(closed)

    def _warn_full(self) -> None:
        if time.monotonic() - self._warned_at >= 60:
            self._warned_at = time.monotonic()
            _log.warning(
                "The limit of %d open connections is reached: each new one replaces an idle one",
                self._limit,
            )


class Connection(asyncio.Protocol):
    """The protocol of one connection: passes its events to ``inner`` and records their times."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._handlers = 0
        """Number of requests whose handlers run."""
        self._idle_since = time.monotonic()
        self._head_since: float | None = None
        self._blocked: tuple[float, int] | None = None
        """Start of the wait for the client to read, and the number of unsent bytes then."""
        self._admitted = False
        self._ended = False
        self._on_lost: Callable[[], object] | None = None
        self._body_reader: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection on, or refuse it with 503 at the limit."""
        self._transport = cast(asyncio.Transport, transport)
        self._idle_since = time.monotonic()
        if self._connections.admit(self):
            self._admitted = True
            self._inner.connection_made(transport)
        else:
            self._ended = True
            self._transport.write(_FULL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass received bytes on; the first one of a head starts its time limit."""
        if self._ended:
            return
        if not self._handlers and self._head_since is None:
            self._head_since = time.monotonic()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client has closed its direction."""
        return None if self._ended else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client reads more slowly than the response is written."""
        self._blocked = (time.monotonic(), self._unsent())
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self._blocked = None
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by the client or by us."""
        self._connections.forget(self)
        self._transport = None
        if self._on_lost is not None:
            self._on_lost()
        if self._body_reader is not None:
            # aiohttp would wait for the rest of the body, and nothing would wait for that task.
            self._body_reader.cancel()
        if self._admitted:
            self._inner.connection_lost(exc)

    def handler_started(self) -> None:
        """The head of a request is complete, and its handler starts."""
        self._handlers += 1
        self._head_since = None
        self._body_reader = None
        self._connections.order.busy(self)

    def handler_ended(self, *, body_reader: "asyncio.Task[None] | None" = None) -> None:
        """The handler has ended, and the response is about to be sent.

        ``body_reader`` is aiohttp's task that then reads the rest of the request body, if any.
        """
        self._handlers -= 1
        self._body_reader = body_reader
        self._idle_since = time.monotonic()
        if not self._handlers and not self._ended and self._transport is not None:
            self._connections.order.idle(self)

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
    def ended(self) -> bool:
        """Whether it was closed with :meth:`end`; the transport may still be closing."""
        return self._ended

    def activity(self, now: float, read_bytes: int) -> ConnectionActivity:
        """The present activity; a client that has read ``read_bytes`` gets a new time limit."""
        if self._blocked is not None and self._blocked[1] - self._unsent() >= read_bytes:
            self._blocked = (now, self._unsent())
        return ConnectionActivity(
            handling=self._handlers > 0,
            idle_since=self._idle_since,
            head_since=self._head_since,
            blocked_since=None if self._blocked is None else self._blocked[0],
        )

    def end(self, response: bytes = b"") -> None:
        """Close the connection without waiting for the client; send ``response`` if possible.

        A second call does nothing: asyncio's TLS (3.11) raises when a transport is closed twice. A
        client that sends no TLS close_notify is dropped by the time limit of the listener.
        """
        if self._ended or self._transport is None:
            return
        self._ended = True
        if self._transport.is_closing():  # aiohttp closed it, and the client did not read the rest
            self._transport.abort()
            return
        if response:
            self._transport.write(response)
        # close() would wait until the client has read the unsent bytes.
        self._transport.abort() if self._unsent() else self._transport.close()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


CONNECTION = web.RequestKey("connection", Connection)


@contextmanager
def when_lost(request: web.Request, callback: Callable[[], object]) -> Iterator[None]:
    """Within the context: call ``callback`` when the connection of the request is lost.

    aiohttp does not report this to a handler that only waits.
    """
    connection = request.get(CONNECTION)
    with nullcontext() if connection is None else connection.when_lost(callback):
        yield


@web.middleware
async def track_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Mark the connection while the handler runs: the client is not idle then."""
    transport = request.transport
    connection = None if transport is None else transport.get_protocol()
    if not isinstance(connection, Connection):  # a server of a test, without limits
        return await handler(request)
    request[CONNECTION] = connection
    connection.handler_started()
    try:
        return await handler(request)
    finally:
        connection.handler_ended(body_reader=None if request.content.is_eof() else request.task)
