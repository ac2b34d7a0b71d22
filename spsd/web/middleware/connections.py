"""The connections of clients: how many there may be, and how long each may be idle or slow.

aiohttp sees no request before its head is whole, and waits for the rest, and for the reader of a
response, without end. So a protocol of ours stands between the socket and aiohttp's, passes
everything on, and notes the times; :class:`Order` decides which connection is closed. Times are any
monotonic seconds.
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
"""How often the connections are judged: the limits are longer by up to this."""
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class Connections:
    """All that are open: at most ``limit``, each judged by ``patience``."""

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
        """The factory's protocols, each with a watch before it."""
        return lambda: Connection(self, factory())

    async def watch(self) -> None:
        """End those that dawdle, until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            now = time.monotonic()
            for one in [one for one in self._open if not one.ended]:
                why = slow_client(
                    one.activity(now, self._timeouts.read_bytes), self._timeouts, now=now
                )
                if why is not None:
                    one.end(_SLOW if why is SlowClient.SLOW_HEAD else b"")

    def admit(self, new: "Connection") -> bool:
        """Count one more, in the place of another if need be; False: there is no room."""
        if len(self._open) >= self._limit:
            self._warn_full()
            leaves = self.order.next_to_evict()
            if leaves is None:
                return False
            self.forget(leaves)
            leaves.end()
        self._open.add(new)
        self.order.opened(new)
        return True

    def forget(self, gone: "Connection") -> None:
        """It is closed."""
        self._open.discard(gone)
        self.order.closed(gone)

    def _warn_full(self) -> None:
        if time.monotonic() - self._warned_at >= 60:
            self._warned_at = time.monotonic()
            _log.warning(
                "%d connections are open, and no more are kept: idle ones make room for new ones",
                self._limit,
            )


class Connection(asyncio.Protocol):
    """Passes a connection's events on, and notes what the client does."""

    def __init__(self, all_of_them: Connections, inner: asyncio.Protocol) -> None:
        self._all = all_of_them
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._answering = 0
        self._quiet_since = time.monotonic()
        self._head_since: float | None = None
        self._unread: tuple[float, int] | None = None
        self._admitted = False
        self._ended = False
        self._when_lost: Callable[[], object] | None = None
        self._reads_rest: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it in, or refuse it."""
        self._transport = cast(asyncio.Transport, transport)
        self._quiet_since = time.monotonic()
        if self._all.admit(self):
            self._admitted = True
            self._inner.connection_made(transport)
        else:
            self._ended = True
            self._transport.write(_FULL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client's."""
        if self._ended:
            return
        if not self._answering and self._head_since is None:
            self._head_since = time.monotonic()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client says nothing more."""
        return None if self._ended else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._unread = (time.monotonic(), self._unsent())
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self._unread = None
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._all.forget(self)
        self._transport = None
        if self._when_lost is not None:
            self._when_lost()
        if self._reads_rest is not None:
            # aiohttp would wait for the rest all the same, with nobody to wait for the task.
            self._reads_rest.cancel()
        if self._admitted:
            self._inner.connection_lost(exc)

    def begin(self) -> None:
        """A request is whole, but for its body."""
        self._answering += 1
        self._head_since = None
        self._reads_rest = None
        self._all.order.busy(self)

    def answered(self, *, rest: "asyncio.Task[None] | None" = None) -> None:
        """Its handler is done, and the answer is about to be sent.

        ``rest`` is the task that then reads the rest of the request's body, if there is any.
        """
        self._answering -= 1
        self._reads_rest = rest
        self._quiet_since = time.monotonic()
        if not self._answering and not self._ended and self._transport is not None:
            self._all.order.idle(self)

    @contextmanager
    def when_lost(self, act: Callable[[], object]) -> Iterator[None]:
        """Within the context: call that when the client goes, which is now if it has gone."""
        self._when_lost = act
        if self._transport is None:
            act()
        try:
            yield
        finally:
            self._when_lost = None

    @property
    def ended(self) -> bool:
        """Whether we have closed it, and only wait for that to be over."""
        return self._ended

    def activity(self, now: float, read_bytes: int) -> ConnectionActivity:
        """What it does; to have read so much counts as getting ahead."""
        if self._unread is not None and self._unread[1] - self._unsent() >= read_bytes:
            self._unread = (now, self._unsent())
        return ConnectionActivity(
            answering=self._answering > 0,
            quiet_since=self._quiet_since,
            head_since=self._head_since,
            unread_since=None if self._unread is None else self._unread[0],
        )

    def end(self, last_words: bytes = b"") -> None:
        """Close it without waiting for the client; ``last_words`` are sent if they can be.

        Once: a client that does not say good-bye over TLS is dropped by the listener's limit for
        that, and to a transport closed twice asyncio's TLS (3.11) has no connection any more.
        """
        if self._ended or self._transport is None:
            return
        self._ended = True
        if self._transport.is_closing():  # by aiohttp; this client has had its time
            self._transport.abort()
            return
        if last_words:
            self._transport.write(last_words)
        # Not close: that waits until the client has read what is still to be sent.
        self._transport.abort() if self._unsent() else self._transport.close()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


CONNECTION = web.RequestKey("connection", Connection)


@contextmanager
def when_lost(request: web.Request, act: Callable[[], object]) -> Iterator[None]:
    """Within the context: call ``act`` when the request's client goes; aiohttp tells nobody."""
    connection = request.get(CONNECTION)
    with nullcontext() if connection is None else connection.when_lost(act):
        yield


@web.middleware
async def track_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """While a request is answered its client is not the one who dawdles."""
    transport = request.transport
    connection = None if transport is None else transport.get_protocol()
    if not isinstance(connection, Connection):  # a test's server without limits
        return await handler(request)
    request[CONNECTION] = connection
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.answered(rest=None if request.content.is_eof() else request.task)
