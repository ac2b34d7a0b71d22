"""A TCP relay on loopback between a client and a server, which can break connections."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

_BLOCK = 64 * 1024


@dataclass
class Connection:
    """One connection: the beginning of both directions, and how many bytes the server sent."""

    request: bytes = b""
    response: bytes = b""
    received: int = 0

    @property
    def status(self) -> int:
        return int(self.response.split()[1])

    def request_header(self, name: str) -> str | None:
        """A header field of the request, if it was sent in clear text."""
        return _field(self.request, name)

    def response_header(self, name: str) -> str | None:
        return _field(self.response, name)


@dataclass
class Relay:
    """Forwards connections to the server's port on loopback.

    The n-th connection is closed after the n-th of ``cuts`` bytes from the server, head included;
    ``at_cut`` is called just before. It is not closed if that is None or missing.
    """

    server_port: int
    cuts: list[int | None] = field(default_factory=list)
    at_cut: Callable[[], None] = lambda: None
    connections: list[Connection] = field(default_factory=list)
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
        """The bytes received from the server, heads included."""
        return sum(connection.received for connection in self.connections)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        number = len(self.connections)
        connection = Connection()
        self.connections.append(connection)
        cut = self.cuts[number] if number < len(self.cuts) else None
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except ConnectionRefusedError:
            writer.transport.abort()
            return
        self._transports |= {writer.transport, server[1].transport}
        upwards = asyncio.create_task(_upwards(reader, server[1], connection))
        try:
            with suppress(ConnectionError):
                await self._downwards(server[0], writer, connection, cut)
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
        connection: Connection,
        cut: int | None,
    ) -> None:
        while cut is None or connection.received < cut:
            size = _BLOCK if cut is None else min(_BLOCK, cut - connection.received)
            if not (data := await reader.read(size)):
                return
            connection.response = (connection.response + data)[:2000]
            connection.received += len(data)
            if connection.received == cut:
                self.at_cut()
            writer.write(data)
            await writer.drain()


async def _upwards(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BLOCK):
            connection.request = (connection.request + data)[:2000]
            writer.write(data)
            await writer.drain()


def _field(text: bytes, name: str) -> str | None:
    head = text.partition(b"\r\n\r\n")[0].decode("latin-1")
    for line in head.split("\r\n")[1:]:
        field_name, _, value = line.partition(":")
        if field_name.lower() == name.lower():
            return value.strip()
    return None
