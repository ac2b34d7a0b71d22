"""Idle and slow clients over real sockets, with limits of tenths of a second."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from spsd.server import listening_sockets
from spsd.system.certificate import ensure_self_signed, server_context
from spsd.web.connections.acceptor import Acceptor
from spsd.web.connections.connection import MOST_HEADS_BYTES, Connections
from spsd.web.connections.slow_clients import ClientTimeouts
from spsd.web.connections.tracking import track_request
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
    most_heads_bytes: int = MOST_HEADS_BYTES,
    tls: ssl.SSLContext | None = None,
    close_notify_s: float = 1.0,
    handshake_s: int = 15,
    **timeouts: float,
) -> AsyncIterator[Server]:
    defaults = {"idle_s": NEVER, "head_s": NEVER, "read_s": NEVER}
    connections = Connections(
        limit=limit,
        timeouts=ClientTimeouts(**(defaults | timeouts)),
        look_every_s=0.02,
        most_heads_bytes=most_heads_bytes,
    )
    server = Server(connections, 0, asyncio.Event())
    server.may_respond.set()

    async def handler(request: web.Request) -> web.Response:
        server.handlers_started.release()
        await server.may_respond.wait()
        body = await request.read() if request.method == "POST" else b"xx"
        return web.Response(body=body * int(request.query.get("times", "1")))

    app = web.Application(middlewares=[track_request])
    app.router.add_route("*", "/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listeners = await listening_sockets("127.0.0.1", 0)
    acceptor = Acceptor(
        listeners,
        connections,
        runner.server,
        context=tls,
        handshake_s=handshake_s,
        close_notify_s=close_notify_s,
    )
    acceptor.start()
    server.port = listeners[0].getsockname()[1]
    watch = asyncio.create_task(connections.watch())
    try:
        async with asyncio.timeout(20):
            yield server
        assert not watch.done()
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        await acceptor.stop()
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
    request = f"GET /?times={size // 2} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
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


async def test_silent_connections_count_before_their_handshake(pair: tuple[Path, Path]) -> None:
    context = await asyncio.to_thread(server_context, *pair)
    async with serving(tls=context, limit=3) as server:
        silent = [await server.connect() for _ in range(20)]
        for reader, _ in silent[:17]:
            await reader.read()
        assert len(server.connections) == 3
        client = await SilentClient.connect(server, pair[0], REQUEST)
        await server.handlers_started.acquire()
        assert len(server.connections) == 3
        for _, writer in silent:
            writer.close()
        client.abort()
        await all_closed(server)


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x40\x00\x01"])
async def test_a_handshake_that_stops_is_closed(first: bytes, pair: tuple[Path, Path]) -> None:
    context = await asyncio.to_thread(server_context, *pair)
    async with serving(tls=context, head_s=0.2, idle_s=0.2) as server:
        reader, writer = await server.connect(first)
        await until(lambda: len(server.connections))
        assert await reader.read() == b""
        await all_closed(server)
        writer.close()


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 99]
)
async def test_a_failed_handshake_is_no_error(
    garbage: bytes, pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    context = await asyncio.to_thread(server_context, *pair)
    async with serving(tls=context) as server:
        reader, writer = await server.connect(garbage)
        await reader.read()
        await all_closed(server)
        writer.close()
    assert caplog.records == []


LONG = b"".join(b"X-%d: %b\r\n" % (number, b"v" * 8000) for number in range(128))


@pytest.mark.parametrize(
    "before", [b"", REQUEST, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"]
)
@pytest.mark.parametrize("size", [1000, 100_000])
async def test_a_long_head_is_refused_with_431(before: bytes, size: int) -> None:
    async with serving() as server:
        reader, writer = await server.connect(before)
        head = b"GET / HTTP/1.1\r\n" + LONG
        for begin in range(0, len(head), size):
            writer.write(head[begin : begin + size])
        response = await reader.read()
        assert response.count(b"HTTP/1.1 200 ") == bool(before)
        _, _, body = response[response.index(b"HTTP/1.1 431 ") :].partition(b"\r\n\r\n")
        assert json.loads(body)["error"]["type"] == "RequestHeaderFieldsTooLarge"
        writer.close()
        await all_closed(server)


async def test_the_longest_unfinished_head_is_refused_when_all_are_too_long() -> None:
    async with serving(limit=30, most_heads_bytes=100_000) as server:
        long = [await server.connect(b"GET / HTTP/1.1\r\n" + LONG[:20_000]) for _ in range(10)]
        refused = [await reader.read() for reader, _ in long[:5]]
        assert all(each.startswith(b"HTTP/1.1 503 ") for each in refused)
        reader, writer = await server.connect(REQUEST)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        for _, each in [*long, (reader, writer)]:
            each.close()
        await all_closed(server)


async def test_pipelined_requests_are_answered_in_order_however_they_are_cut() -> None:
    bodies = [b"body %d" % number * number for number in range(12)]
    requests = b"".join(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in bodies
    )
    async with serving() as server:
        for size in (1, 7, 40, 1000, len(requests)):
            reader, writer = await server.connect()
            for begin in range(0, len(requests), size):
                writer.write(requests[begin : begin + size])
                await asyncio.sleep(0)
            for body in bodies:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert await reader.readexactly(len(body)) == body
            writer.close()


async def test_a_chunked_body_is_read_and_the_connection_closed() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as server:
        reader, writer = await server.connect(head + b"3\r\nabc\r\n")
        await server.handlers_started.acquire()
        writer.write(b"2\r\nde\r\n0\r\n\r\n" + REQUEST)
        response = await reader.read()
        assert response.endswith(b"\r\n\r\nabcde")
        assert b"Connection: close" in response
        writer.close()
