"""A wire that can be cut: a TCP relay on loopback between a client and a server."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

_BLOCK = 64 * 1024


@dataclass
class Passed:
    """What went over one connection: the first of it, and how much came from the server."""

    asked: bytes = b""
    answered: bytes = b""
    received: int = 0

    @property
    def status(self) -> int:
        return int(self.answered.split()[1])

    def header(self, name: str) -> str | None:
        """A field of the request, if it was sent in clear text."""
        return _field(self.asked, name)

    def answer_header(self, name: str) -> str | None:
        return _field(self.answered, name)


@dataclass
class Relay:
    """Passes bytes on to the server's port on loopback.

    The n-th connection ends when the server has sent the n-th of ``cuts`` bytes, head included;
    ``at_cut`` is called just before. None, and those past the last, are not cut.
    """

    server_port: int
    cuts: list[int | None] = field(default_factory=list)
    at_cut: Callable[[], None] = lambda: None
    passed: list[Passed] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._transports: set[asyncio.WriteTransport] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for transport in self._transports:
            transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    @property
    def received(self) -> int:
        """Bytes that have come from the server, heads included."""
        return sum(one.received for one in self.passed)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        number = len(self.passed)
        passed = Passed()
        self.passed.append(passed)
        cut = self.cuts[number] if number < len(self.cuts) else None
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except ConnectionRefusedError:
            writer.transport.abort()
            return
        self._transports |= {writer.transport, server[1].transport}
        upwards = asyncio.create_task(_upwards(reader, server[1], passed))
        try:
            with suppress(ConnectionError):
                await self._downwards(server[0], writer, passed, cut)
        finally:
            upwards.cancel()
            await asyncio.gather(upwards, return_exceptions=True)
            server[1].transport.abort()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _downwards(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passed: Passed,
        cut: int | None,
    ) -> None:
        while cut is None or passed.received < cut:
            want = _BLOCK if cut is None else min(_BLOCK, cut - passed.received)
            if not (data := await reader.read(want)):
                return
            passed.answered = (passed.answered + data)[:2000]
            passed.received += len(data)
            if passed.received == cut:
                self.at_cut()
            writer.write(data)
            await writer.drain()


async def _upwards(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Passed
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BLOCK):
            passed.asked = (passed.asked + data)[:2000]
            writer.write(data)
            await writer.drain()


def _field(text: bytes, name: str) -> str | None:
    head = text.partition(b"\r\n\r\n")[0].decode("latin-1")
    for line in head.split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.lower() == name.lower():
            return value.strip()
    return None
