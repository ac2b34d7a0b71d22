"""Clients that dawdle, over real sockets, with limits of tenths of a second."""

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

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NEVER = 3600.0


@dataclass
class Server:
    connections: Connections
    port: int
    may_answer: asyncio.Event
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def connect(self, content: bytes = b"") -> tuple:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        writer.write(content)
        return reader, writer


@asynccontextmanager
async def serving(
    *,
    limit: int = 10,
    tls: ssl.SSLContext | None = None,
    good_bye_s: float = 1.0,
    **timeouts: float,
) -> AsyncIterator[Server]:
    usual = {"idle_s": NEVER, "head_s": NEVER, "read_s": NEVER}
    kept = Connections(
        limit=limit, timeouts=ClientTimeouts(**(usual | timeouts)), look_every_s=0.02
    )
    server = Server(kept, 0, asyncio.Event())
    server.may_answer.set()

    async def handler(request: web.Request) -> web.Response:
        server.begun.release()
        await server.may_answer.wait()
        return web.Response(body=b"x" * int(request.query.get("size", "2")))

    app = web.Application(middlewares=[track_request])
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = await asyncio.get_running_loop().create_server(
        kept.monitored(runner.server),
        "127.0.0.1",
        0,
        ssl=tls,
        ssl_shutdown_timeout=None if tls is None else good_bye_s,
    )
    server.port = listener.sockets[0].getsockname()[1]
    watch = asyncio.create_task(kept.watch())
    try:
        async with asyncio.timeout(20):
            yield server
        assert not watch.done()
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        listener.close()
        await runner.cleanup()


async def gone(server: Server) -> None:
    await until(lambda: not len(server.connections))


async def test_a_head_that_drips_is_cut_off_with_408() -> None:
    async with serving(head_s=0.3) as server:
        reader, writer = await server.connect(b"GET / HTTP/1.1\r\nX-Slow: ")
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        while not answer.done():
            writer.write(b"a")
            await asyncio.wait([answer], timeout=0.02)
        assert answer.result().startswith(b"HTTP/1.1 408 ")
        await gone(server)
        writer.close()


async def test_an_idle_connection_is_ended_and_a_working_one_is_not() -> None:
    async with serving(idle_s=0.3) as server:
        server.may_answer.clear()
        busy = await server.connect(ASK)
        await server.begun.acquire()
        silent = await server.connect()
        assert await silent[0].read() == b""
        assert len(server.connections) == 1
        server.may_answer.set()
        assert (await busy[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        await busy[0].read()  # it is idle now, and ended in its turn
        await gone(server)
        for _, writer in (busy, silent):
            writer.close()


async def test_whoever_does_not_read_is_ended_and_whoever_reads_slowly_gets_all() -> None:
    size = 30_000_000
    ask = f"GET /?size={size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    async with serving(read_s=0.5) as server:
        dead = await server.connect(ask)
        slow = await server.connect(ask)
        taken = 0
        while piece := await slow[0].read(500_000):
            taken += len(piece)
            await asyncio.sleep(0.01)  # so slowly does it read
        assert taken > size
        await gone(server)
        for _, writer in (dead, slow):
            writer.transport.abort()


async def test_when_all_places_are_taken_the_quietest_makes_room() -> None:
    async with serving(limit=3) as server:
        silent = [await server.connect() for _ in range(20)]
        reader, writer = await server.connect(ASK)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        assert len(server.connections) <= 3
        for old, _ in silent[:18]:
            assert await old.read() == b""
        for _, one in [*silent, (reader, writer)]:
            one.close()
        await gone(server)


async def test_nobody_who_is_being_answered_makes_room() -> None:
    async with serving(limit=2) as server:
        server.may_answer.clear()
        busy = [await server.connect(ASK) for _ in range(2)]
        for _ in busy:
            await server.begun.acquire()
        reader, refused = await server.connect(ASK)
        head = await reader.read()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in head
        server.may_answer.set()
        for answer, _ in busy:
            assert (await answer.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        for _, writer in [*busy, (reader, refused)]:
            writer.close()
        await gone(server)


class Mute(asyncio.Protocol):
    """A client over TLS that, once it has been told to, neither reads nor says good-bye."""

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
async def test_who_says_no_good_bye_over_tls_is_ended_and_ends_nothing_else(
    content: bytes, pair: tuple[Path, Path]
) -> None:
    """At each look it would be closed again, and from the third on asyncio has no TLS left."""
    context = await asyncio.to_thread(server_context, *pair)
    async with serving(tls=context, head_s=0.1, idle_s=0.1) as server:
        silent = await Mute.connect(server, pair[0], content)
        silent.pause_reading()
        await until(lambda: len(server.connections))
        await gone(server)
        silent.abort()


async def test_what_aiohttp_has_closed_over_tls_is_dropped(pair: tuple[Path, Path]) -> None:
    context = await asyncio.to_thread(server_context, *pair)
    # It is not left to the limit for a good-bye.
    async with serving(tls=context, good_bye_s=NEVER, idle_s=0.1) as server:
        server.may_answer.clear()
        ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        silent = await Mute.connect(server, pair[0], ask)
        await server.begun.acquire()
        silent.pause_reading()
        server.may_answer.set()
        await gone(server)
        silent.abort()
