"""Replies of origins, mutated by cuts, changed bytes and pauses; each follows from a seed."""

import asyncio
import hashlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from spsd.digest import Sha256
from spsd.failures import JobError, OriginError
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.http.origin import HttpOrigin
from spsd.transfer.ports import Progress
from spsd.transfer.staging.directory import StagingDirectory

HEADS = (
    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n",
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/{length}\r\nContent-Length: 10\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /again?sig=secret\r\nContent-Length: 0\r\n",
    "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: {length}\r\n",
    "HTTP/1.1 416 Range\r\nContent-Range: bytes */{length}\r\nContent-Length: 0\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
    "HTTP/1.1 204 No Content\r\n",
)
FIELDS = (
    'ETag: "abc"\r\n',
    "ETag: W/x\r\n",
    "Set-Cookie: id=secret; Path=/\r\n",
    "Content-Type: application/octet-stream; charset=x\r\n",
    "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n",
    "Trailer: X\r\n",
)
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b": ",
    b";",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"-1",
    b"99999999999999999999",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/9.9 ",
    b"x" * 9000,
    b"A: b\r\n" * 200,
    b"<html>502</html>",
)


@dataclass(frozen=True)
class Reply:
    """What the server sends: pieces with pauses in seconds between them, and how it ends."""

    pieces: list[bytes]
    pauses: list[float]
    end: str
    content: bytes
    is_mutated: bool
    """Whether bytes were changed; otherwise the reply may only be cut."""


def reply(seed: int) -> Reply:
    """The reply that follows from the seed."""
    chance = random.Random(seed)
    content = chance.randbytes(chance.choice((0, 1, 100, 5000, 70_000)))
    head = chance.choice(HEADS).format(length=len(content))
    head += "".join(chance.sample(FIELDS, chance.randrange(len(FIELDS))))
    body = _chunked(content, chance) if "chunked" in head else content
    data = bytearray(head.encode() + b"\r\n" + body)
    border = len(data) - len(body) + 20
    mutations = chance.choice((0, 1, 1, 1, 2, 3))
    for _ in range(mutations):
        # Mostly in the head and around the first chunk: there the bytes have a meaning.
        at = chance.randrange(min(border, len(data)) if chance.random() < 0.7 else len(data))
        _mutate(data, at, chance)
    cut = chance.randrange(len(data)) if data and chance.random() < 0.3 else len(data)
    edges = sorted({0, cut, *(chance.randrange(cut + 1) for _ in range(chance.randrange(5)))})
    return Reply(
        [bytes(data[a:b]) for a, b in itertools.pairwise(edges)],
        [chance.choice((0, 0, 0, 0.001, 0.02)) for _ in edges],
        chance.choice(("close", "close", "hold", "reset")),
        content,
        is_mutated=mutations > 0,
    )


def _chunked(content: bytes, chance: random.Random) -> bytes:
    size = chance.choice((1000, 4096, 100_000))
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    extensions = itertools.cycle((b"", b";a=b"))
    chunks = [
        b"%x%s\r\n%s\r\n" % (len(part), extension, part)
        for part, extension in zip(parts, extensions, strict=False)
    ]
    return b"".join(chunks) + b"0\r\n" + chance.choice((b"", b"X: y\r\n")) + b"\r\n"


def _mutate(data: bytearray, at: int, chance: random.Random) -> None:
    end = at + chance.choice((1, 2, 10, 300))
    match chance.randrange(5):
        case 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            del data[at:end]
        case 2:
            data[at:at] = chance.choice(PIECES)
        case 3:
            data[at:at] = data[at:end]
        case _:
            data[at:end] = chance.choice(PIECES)
    if not data:
        data += b"x"


@dataclass
class Server:
    """Sends the reply of the seed in the request's path."""

    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                line = await reader.readline()
                planned = reply(int(line.split()[1].strip(b"/").split(b"?")[0]))
                await reader.readuntil(b"\r\n\r\n")
                for piece, pause in zip(planned.pieces, planned.pauses, strict=False):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                if planned.end == "hold":
                    await self.over.wait()
                elif planned.end == "reset":
                    writer.transport.abort()
        finally:
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """The server of mutated replies, on loopback."""
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=tls)
    async with listening:
        server.port = listening.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            server.over.set()
            if server.tasks:
                await asyncio.wait(server.tasks)


async def attempt(seed: int, url: str, origin: HttpOrigin, root: Path) -> JobError | None:
    """One attempt at the reply of the seed, from the socket to the file; gives its error.

    Raises:
        Exception: anything but an error of spsd.
        AssertionError: bytes are in the file that the origin did not send.
    """
    planned = reply(seed)
    staging = StagingDirectory(root, boot="this boot")

    async def report(_: Progress) -> None: ...

    error: JobError | None = None
    key = Sha256(hashlib.sha256(str(seed).encode()).hexdigest())
    async with staging.open(key) as partial:
        try:
            await LocalAttempts(origin, staging, now=lambda: 0).attempt(url, partial, report)
        except OriginError as raised:
            error = raised
        if not planned.is_mutated:
            got = await partial.read(0, partial.length)
            assert planned.content.startswith(got), seed
    if error is not None:
        assert "secret" not in error.sentence(), seed
        assert error.sentence().isprintable(), seed
    await staging.discard(key)
    return error
