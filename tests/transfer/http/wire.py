"""A server on a real socket that sends exact bytes, with pauses; for replies that are no HTTP."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

Script = Sequence[bytes | float]
"""Bytes to send, and pauses in seconds between them."""


@dataclass
class Wire:
    """A running server: each connection gets one of the replies, the last one again and again."""

    port: int
    requests: list[bytes]

    def url(self, path: str = "/a", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def wire(
    *replies: Script, tls: ssl.SSLContext | None = None, holds: bool = False
) -> AsyncIterator[Wire]:
    """A server; with ``holds`` it leaves the connection open after its reply."""
    requests: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in replies[min(len(requests), len(replies)) - 1]:
                    if isinstance(piece, bytes):
                        writer.write(piece)
                        await writer.drain()
                    else:
                        await asyncio.sleep(piece)
                if holds:
                    await over.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        try:
            yield Wire(server.sockets[0].getsockname()[1], requests)
        finally:
            over.set()
            if tasks:
                await asyncio.wait(tasks)
