"""The origin itself: it listens, consumes its script, and records what it was asked."""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from spsd.testing.origin.acts import Act, Refuse, Swap, Whole
from spsd.testing.origin.asked import Asked
from spsd.testing.origin.plan import plan
from spsd.testing.origin.reply import rejection, without
from spsd.testing.origin.request import MalformedError, Request, parse_head
from spsd.testing.origin.stored import OCTETS, Shelf, store
from spsd.testing.origin.wire import Wire


class Origin:
    """An HTTP/1.1 file server that does what its script says, one act per request.

    `acts` is the script; past its end every request meets `always`, which is to behave well unless
    said otherwise. `etag` (quotes included) and `content_type` hold for every object; without
    `validators` no reply has an ETag or a Last-Modified. `on_finished` is called with each request
    when its reply has ended, however it ended. `send_buffer` is the size in bytes of the kernel's
    buffer for what is on its way out: with a small one little is counted as sent that the client
    never reads.

    The n-th of `requests` met the n-th act. What cannot be read as a request is answered 400 (431
    if its head is too long), consumes no act and is not recorded.
    """

    def __init__(
        self,
        objects: Mapping[str, bytes | Path],
        acts: Iterable[Act] = (),
        *,
        always: Act | None = None,
        etag: str | None = None,
        content_type: str = OCTETS,
        validators: bool = True,
        send_buffer: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        on_finished: Callable[[Asked], None] = lambda _: None,
    ) -> None:
        self._shelf = Shelf(
            {
                path: store(content, etag=etag, content_type=content_type)
                for path, content in objects.items()
            }
        )
        self._acts = deque(acts)
        self._always: Act = Whole() if always is None else always
        self._hidden = () if validators else ("ETag", "Last-Modified")
        self._send_buffer = send_buffer
        self._ssl_context = ssl_context
        self._host, self._port = host, port
        self._on_finished = on_finished
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._arrived = asyncio.Event()
        self.requests: list[Asked] = []

    async def __aenter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self._port), family=family, backlog=128)
        self._listener.settimeout(0)
        if self._send_buffer is not None:  # accepted connections inherit it
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        self._port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and end every connection; harmless when closed.

        Raises:
            BaseExceptionGroup: The origin itself failed at a connection.
        """
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        failures, self._failures = self._failures, []
        if failures:
            raise BaseExceptionGroup("the origin failed", failures)

    @property
    def host(self) -> str:
        """Return the address that is listened on."""
        return self._host

    @property
    def port(self) -> int:
        """Return the port that is listened on, or is meant to be."""
        return self._port

    @property
    def bytes_sent(self) -> int:
        """Return how many body bytes went out in all."""
        return sum(asked.sent for asked in self.requests)

    def url(self, path: str) -> str:
        """Return the URL of the object at this path."""
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}{quote(path)}"

    def script(self, *acts: Act) -> None:
        """Replace what is left of the script."""
        self._acts = deque(acts)

    def swap(self, path: str, content: bytes, *, keep_etag: bool = False) -> None:
        """Put these bytes in an object's place between two requests, as the act Swap does at one.

        They have a new ETag and Last-Modified unless `keep_etag` is set.
        """
        self._shelf.swap(path, content, keep_etag=keep_etag)

    async def asked(self, n: int) -> None:
        """Wait until at least n requests have been received."""
        while len(self.requests) < n:
            self._arrived.clear()
            await self._arrived.wait()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client has thought better of it
        connection.settimeout(0)
        if isinstance(self._next(), Refuse):
            self._take()
            self._on_finished(self._received(Asked()))
            # With a linger of nothing, closing resets (socket(7)).
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._ended)
        # A task cancelled before its first step never gets to close anything.
        task.add_done_callback(lambda _: connection.close())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            wire = await Wire.over(connection, self._ssl_context)
        except (ConnectionError, ssl.SSLError):
            return
        try:
            while await self._exchange(wire):
                pass
            await wire.close()
        except (ConnectionError, ssl.SSLError):
            pass  # the client went away, as it may
        finally:
            await wire.abort()

    async def _exchange(self, wire: Wire) -> bool:
        """Take one request and answer it; tell whether the connection lives on."""
        try:
            request = parse_head(await wire.head())
        except asyncio.IncompleteReadError:
            return False
        except asyncio.LimitOverrunError:
            await wire.reject(rejection(431))
            return False
        except MalformedError:
            await wire.reject(rejection(400))
            return False
        act = self._take()
        asked = self._received(Asked(request.method, request.target, request.headers))
        try:
            return await self._answer(wire, act, request, asked)
        finally:
            self._on_finished(asked)

    async def _answer(self, wire: Wire, act: Act, request: Request, asked: Asked) -> bool:
        if isinstance(act, Refuse):
            await wire.reset()
            return False
        if isinstance(act, Swap):
            self._shelf.swap(request.path, act.content, keep_etag=act.keep_etag)
        source, entity = self._shelf.open(request.path)
        with source:
            reply = plan(act, request, entity)
            reply = replace(reply, headers=without(reply.headers, *self._hidden))
            return await wire.perform(reply, source, asked)

    def _received(self, asked: Asked) -> Asked:
        self.requests.append(asked)
        self._arrived.set()
        return asked

    def _next(self) -> Act:
        return self._acts[0] if self._acts else self._always

    def _take(self) -> Act:
        return self._acts.popleft() if self._acts else self._always
