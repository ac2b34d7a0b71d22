"""A response's body, read into the caller's memory.

aiohttp reads and parses the head. A body of a known length over plain TCP needs no parser after
that, so its transport is taken over, and the kernel writes into the caller's buffers: no copy, no
bytes object for each read. All else stays with aiohttp's stream. Chunks have to be parsed; and to a
protocol with buffers of its own asyncio's TLS (3.11) can lose the end of a body: once the peer has
closed it reads what one buffer takes, and no more. (docs/decisions/0015 tells what was measured.)
"""

import asyncio
from typing import Protocol

import aiohttp

from spsd.failures import OriginError
from spsd.transfer.http.errors import as_origin_errors, cut_off


class Body(Protocol):
    """The bytes that follow a response's head; one task reads them."""

    @property
    def over(self) -> bool:
        """Whether all has been given: nothing more will come."""

    async def fill(self, room: memoryview, *, least: int, until: float) -> int:
        """Read into the beginning of ``room``; how many bytes.

        Returns when at least ``least`` bytes are there, at the body's end, or at the loop's time
        ``until``. Once cancelled it leaves the room alone.

        Raises:
            OriginError: the body has broken off; what came before was given by earlier calls.
        """


def body_of(response: aiohttp.ClientResponse) -> Body:
    """The body of a response of which nothing has been read."""
    connection, length = response.connection, response.content_length
    transport = None if connection is None else connection.transport
    if (
        not isinstance(transport, asyncio.Transport)
        or transport.get_extra_info("sslcontext") is not None
        or length is None
        or "Transfer-Encoding" in response.headers
    ):
        return StreamBody(response)
    early = _drained(response.content)
    if len(early) == length:
        return StreamBody(response, early)
    # Only now: aiohttp lets it read again as its buffer empties.
    transport.pause_reading()
    return TransportBody(transport, early, length, str(response.url))


def _drained(content: aiohttp.StreamReader) -> bytes:
    """What aiohttp has read beyond the head; what its parser holds back comes piece by piece."""
    pieces = []
    while piece := content.read_nowait():
        pieces.append(piece)
    return b"".join(pieces)


class StreamBody:
    """A body that aiohttp parses, or has parsed the beginning of."""

    def __init__(self, response: aiohttp.ClientResponse, early: bytes = b"") -> None:
        self._response = response
        self._rest = memoryview(early)
        self._ended = False
        self._failure: OriginError | None = None

    @property
    def over(self) -> bool:
        """Whether all has been given: nothing more will come."""
        return self._ended and not self._rest

    async def fill(self, room: memoryview, *, least: int, until: float) -> int:
        """Read into the beginning of ``room``: see :class:`Body`."""
        size = 0
        while size < least:
            if not self._rest:
                self._rest = memoryview(await self._next(until))
                if not self._rest:
                    break
            part = self._rest[: len(room) - size]
            room[size : size + len(part)] = part
            size += len(part)
            self._rest = self._rest[len(part) :]
        if size == 0 and self._failure is not None:
            raise self._failure
        return size

    async def _next(self, until: float) -> bytes:
        """More bytes; none at the end, when it has failed, or if it is time before."""
        if self._ended:
            return b""
        content = self._response.content
        try:
            with as_origin_errors(str(self._response.url)):
                try:
                    async with asyncio.timeout_at(until):
                        part = await content.readany()
                except TimeoutError:
                    return b""
        except OriginError as error:
            # What has come is worth keeping: the next attempt goes on from there. aiohttp (3.14)
            # raises before it hands out what its buffer holds, and has no public way to it.
            self._failure = error
            part = content._read_nowait(-1)
        self._ended = self._failure is not None or not part
        return part


class TransportBody(asyncio.BufferedProtocol):
    """A body of ``length`` bytes straight off a transport, of which aiohttp has read ``early``.

    The transport is paused whenever nobody waits for bytes, so none comes that has no room.
    """

    def __init__(self, transport: asyncio.Transport, early: bytes, length: int, url: str) -> None:
        self._early = memoryview(early)
        self._missing = length - len(early)
        self._url = url
        self._lost = False
        self._room = memoryview(b"")
        self._size = self._least = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport = transport
        # It keeps the connection's books, and wants to know when that is gone.
        self._former = transport.get_protocol()
        transport.set_protocol(self)

    @property
    def over(self) -> bool:
        """Whether all has been given: nothing more will come."""
        return not self._early and (self._lost or self._missing == 0)

    async def fill(self, room: memoryview, *, least: int, until: float) -> int:
        """Read into the beginning of ``room``: see :class:`Body`."""
        size = min(len(self._early), len(room))
        room[:size], self._early = self._early[:size], self._early[size:]
        self._room, self._size, self._least = room, size, least
        if size < least and not self.over:
            await self._arrival(until)
        if self._size == 0 and self._missing and self._lost:
            raise cut_off(self._url)
        return self._size

    async def _arrival(self, until: float) -> None:
        """Let the transport write into the room, until that is enough or it is time."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.resume_reading()
        try:
            async with asyncio.timeout_at(until):
                await self._waiter
        except TimeoutError:
            pass
        finally:
            self._transport.pause_reading()
            self._waiter = None

    def get_buffer(self, _sizehint: int) -> memoryview:
        """What is left of the room, and nothing beyond the body's end."""
        return self._room[self._size : self._size + self._missing]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are in the room."""
        self._size += nbytes
        self._missing -= nbytes
        if self._size >= self._least or self._missing == 0:
            # At once: another read of this turn of the loop would find no room.
            self._transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes, whether the body is whole or not."""
        self._lost = True
        self._wake()
        self._former.connection_lost(exc)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
