"""Idle and slow clients over real sockets, with limits of tenths of a second."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from spsd.system.certificate import ensure_self_signed, server_context
from spsd.web.middleware.connections import Connections, track_request
from spsd.web.middleware.slow_clients import ClientTimeouts
from testbed.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NEVER = 3600.0


@dataclass
class Server:
    connections: Connections
    port: int
    may_respond: asyncio.Event
    handlers_started: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def connect(self, content: bytes = b"") -> tuple:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        writer.write(content)
        return reader, writer


@asynccontextmanager
async def serving(
    *,
    limit: int = 10,
    tls: ssl.SSLContext | None = None,
    close_notify_s: float = 1.0,
    **timeouts: float,
) -> AsyncIterator[Server]:
    defaults = {"idle_s": NEVER, "head_s": NEVER, "read_s": NEVER}
    connections = Connections(
        limit=limit, timeouts=ClientTimeouts(**(defaults | timeouts)), look_every_s=0.02
    )
    server = Server(connections, 0, asyncio.Event())
    server.may_respond.set()

    async def handler(request: web.Request) -> web.Response:
        server.handlers_started.release()
        await server.may_respond.wait()
        return web.Response(body=b"x" * int(request.query.get("size", "2")))

    app = web.Application(middlewares=[track_request])
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = await asyncio.get_running_loop().create_server(
        connections.monitored(runner.server),
        "127.0.0.1",
        0,
        ssl=tls,
        ssl_shutdown_timeout=None if tls is None else close_notify_s,
    )
    server.port = listener.sockets[0].getsockname()[1]
    watch = asyncio.create_task(connections.watch())
    try:
        async with asyncio.timeout(20):
            yield server
        assert not watch.done()
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        listener.close()
        await runner.cleanup()


async def all_closed(server: Server) -> None:
    await until(lambda: not len(server.connections))


async def test_a_slow_head_is_refused_with_408() -> None:
    async with serving(head_s=0.3) as server:
        reader, writer = await server.connect(b"GET / HTTP/1.1\r\nX-Slow: ")
        response = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        while not response.done():
            writer.write(b"a")
            await asyncio.wait([response], timeout=0.02)
        assert response.result().startswith(b"HTTP/1.1 408 ")
        await all_closed(server)
        writer.close()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async with serving(idle_s=0.3) as server:
        server.may_respond.clear()
        busy = await server.connect(REQUEST)
        await server.handlers_started.acquire()
        silent = await server.connect()
        assert await silent[0].read() == b""
        assert len(server.connections) == 1
        server.may_respond.set()
        assert (await busy[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        await busy[0].read()  # it is idle now, and closed in turn
        await all_closed(server)
        for _, writer in (busy, silent):
            writer.close()


async def test_a_client_that_does_not_read_is_closed_and_one_that_reads_slowly_is_not() -> None:
    size = 30_000_000
    request = f"GET /?size={size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    async with serving(read_s=0.5) as server:
        not_reading = await server.connect(request)
        slow = await server.connect(request)
        received = 0
        while piece := await slow[0].read(500_000):
            received += len(piece)
            await asyncio.sleep(0.01)  # the rate of this client
        assert received > size
        await all_closed(server)
        for _, writer in (not_reading, slow):
            writer.transport.abort()


async def test_at_the_limit_the_longest_idle_connection_is_closed() -> None:
    async with serving(limit=3) as server:
        silent = [await server.connect() for _ in range(20)]
        reader, writer = await server.connect(REQUEST)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        assert len(server.connections) <= 3
        for old, _ in silent[:18]:
            assert await old.read() == b""
        for _, each in [*silent, (reader, writer)]:
            each.close()
        await all_closed(server)


async def test_at_the_limit_no_busy_connection_is_closed() -> None:
    async with serving(limit=2) as server:
        server.may_respond.clear()
        busy = [await server.connect(REQUEST) for _ in range(2)]
        for _ in busy:
            await server.handlers_started.acquire()
        reader, refused = await server.connect(REQUEST)
        head = await reader.read()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in head
        server.may_respond.set()
        for response, _ in busy:
            assert (await response.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        for _, writer in [*busy, (reader, refused)]:
            writer.close()
        await all_closed(server)


class SilentClient(asyncio.Protocol):
    """A client over TLS; after ``pause_reading`` it neither reads nor sends close_notify."""

    @classmethod
    async def connect(cls, server: Server, trusted: Path, content: bytes) -> asyncio.Transport:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=trusted)
        transport, _ = await asyncio.get_running_loop().create_connection(
            cls, "127.0.0.1", server.port, ssl=context
        )
        transport.write(content)
        return transport


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Path, Path]:
    return await asyncio.to_thread(ensure_self_signed, tmp_path, hostname="x")


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["idle", "slow"])
async def test_a_client_without_close_notify_is_closed_once(
    content: bytes, pair: tuple[Path, Path]
) -> None:
    """A second close at the next check would raise in asyncio's TLS and end the checks."""
    context = await asyncio.to_thread(server_context, *pair)
    async with serving(tls=context, head_s=0.1, idle_s=0.1) as server:
        silent = await SilentClient.connect(server, pair[0], content)
        silent.pause_reading()
        await until(lambda: len(server.connections))
        await all_closed(server)
        silent.abort()


async def test_a_connection_that_aiohttp_has_closed_is_aborted(pair: tuple[Path, Path]) -> None:
    context = await asyncio.to_thread(server_context, *pair)
    # The time limit for close_notify is not needed for this.
    async with serving(tls=context, close_notify_s=NEVER, idle_s=0.1) as server:
        server.may_respond.clear()
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        silent = await SilentClient.connect(server, pair[0], request)
        await server.handlers_started.acquire()
        silent.pause_reading()
        server.may_respond.set()
        await all_closed(server)
        silent.abort()
