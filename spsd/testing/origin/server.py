"""The origin itself: it listens, consumes its script, and records the requests."""

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
from spsd.testing.origin.connection import Connection
from spsd.testing.origin.objects import OCTETS, ObjectStore, served_object
from spsd.testing.origin.plan import plan_response
from spsd.testing.origin.record import RequestRecord
from spsd.testing.origin.request import MalformedError, Request, parse_head
from spsd.testing.origin.response import rejection, without_fields


class Origin:
    """An HTTP/1.1 file server that does what its script says, one act per request.

    `acts` is the script, one act per request. After its end each request gets `always`; the default
    is a correct response. `etag` (quotes included) and `content_type` apply to every object. With
    `validators` False no response has an ETag or a Last-Modified. `on_finished` is called with each
    request's record when its response has ended, in any way. `send_buffer` is the size in bytes of
    the kernel's send buffer: with a small one, `sent` counts few bytes that the client never reads.

    `requests` are the records of the requests, in order: the n-th request got the n-th act. Bytes
    that are not a request get the status 400 (431 if the head is too long); they consume no act and
    are not recorded.
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
        on_finished: Callable[[RequestRecord], None] = lambda _: None,
    ) -> None:
        self._objects = ObjectStore(
            {
                path: served_object(content, etag=etag, content_type=content_type)
                for path, content in objects.items()
            }
        )
        self._acts = deque(acts)
        self._always: Act = Whole() if always is None else always
        self._hidden_fields = () if validators else ("ETag", "Last-Modified")
        self._send_buffer = send_buffer
        self._ssl_context = ssl_context
        self._host, self._port = host, port
        self._on_finished = on_finished
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._arrived = asyncio.Event()
        self.requests: list[RequestRecord] = []

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
        """Stop listening and close every connection; without effect if already closed.

        Raises:
            BaseExceptionGroup: The origin itself failed while it served a connection.
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
        """Return the address on which the origin listens."""
        return self._host

    @property
    def port(self) -> int:
        """Return the port on which the origin listens; before it listens, the configured one."""
        return self._port

    @property
    def bytes_sent(self) -> int:
        """Return the number of body bytes sent for all requests."""
        return sum(record.sent for record in self.requests)

    def url(self, path: str) -> str:
        """Return the URL of the object at this path."""
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}{quote(path)}"

    def script(self, *acts: Act) -> None:
        """Replace the acts of the script that are left."""
        self._acts = deque(acts)

    def swap(self, path: str, content: bytes, *, keep_etag: bool = False) -> None:
        """Replace an object's content between two requests, as the act Swap does during one.

        The object gets a new ETag and Last-Modified unless `keep_etag` is set.
        """
        self._objects.swap(path, content, keep_etag=keep_etag)

    async def wait_for_requests(self, n: int) -> None:
        """Wait until at least n requests have been received; their responses may not have begun."""
        while len(self.requests) < n:
            self._arrived.clear()
            await self._arrived.wait()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client has closed it before it was accepted
        accepted.settimeout(0)
        if isinstance(self._next_act(), Refuse):
            self._take_act()
            self._on_finished(self._recorded(RequestRecord()))
            # With a linger time of 0 a close sends RST (socket(7)).
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            return
        task = asyncio.create_task(self._serve(accepted))
        self._connections.add(task)
        task.add_done_callback(self._ended)
        # A task that is cancelled before its first step cannot close the socket itself.
        task.add_done_callback(lambda _: accepted.close())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            connection = await Connection.from_socket(accepted, self._ssl_context)
        except (ConnectionError, ssl.SSLError):
            return
        try:
            while await self._exchange(connection):
                pass
            await connection.close()
        except (ConnectionError, ssl.SSLError):
            pass  # a client may close the connection at any time
        finally:
            await connection.abort()

    async def _exchange(self, connection: Connection) -> bool:
        """Read one request and respond; return whether the connection can take another."""
        try:
            request = parse_head(await connection.read_head())
        except asyncio.IncompleteReadError:
            return False
        except asyncio.LimitOverrunError:
            await connection.reject(rejection(431))
            return False
        except MalformedError:
            await connection.reject(rejection(400))
            return False
        act = self._take_act()
        record = self._recorded(RequestRecord(request.method, request.target, request.headers))
        try:
            return await self._respond(connection, act, request, record)
        finally:
            self._on_finished(record)

    async def _respond(
        self, connection: Connection, act: Act, request: Request, record: RequestRecord
    ) -> bool:
        if isinstance(act, Refuse):
            await connection.reset()
            return False
        if isinstance(act, Swap):
            self._objects.swap(request.path, act.content, keep_etag=act.keep_etag)
        content, entity = self._objects.open(request.path)
        with content:
            response = plan_response(act, request, entity)
            headers = without_fields(response.headers, *self._hidden_fields)
            return await connection.send(replace(response, headers=headers), content, record)

    def _recorded(self, record: RequestRecord) -> RequestRecord:
        self.requests.append(record)
        self._arrived.set()
        return record

    def _next_act(self) -> Act:
        return self._acts[0] if self._acts else self._always

    def _take_act(self) -> Act:
        return self._acts.popleft() if self._acts else self._always
