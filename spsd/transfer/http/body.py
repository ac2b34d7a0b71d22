"""A response's body, read into the caller's memory.

aiohttp reads and parses the head. A body of known length over plain TCP needs no parser after that
(RFC 9112 section 6.3, rule 6), so its transport is taken over, and the kernel writes into the
caller's buffers: no copy, and no bytes object for each read. Every other body stays with aiohttp's
stream: chunks have to be parsed (RFC 9112 section 7.1), and with a protocol that has buffers of its
own, asyncio's TLS (3.11) can lose the end of a body: once the peer has closed the connection, it
reads one more buffer and no further. docs/decisions/0015 has the measurements.
"""

import asyncio
from typing import Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler

from spsd.failures import OriginError
from spsd.transfer.http.errors import as_origin_errors, cut_off


class Body(Protocol):
    """The bytes that follow a response's head; one task reads them."""

    @property
    def is_exhausted(self) -> bool:
        """Whether every byte that arrived has been returned, and none will follow."""

    async def fill(self, buffer: memoryview, *, minimum: int, until: float) -> int:
        """Read into the beginning of ``buffer``; returns how many bytes.

        Returns when at least ``minimum`` bytes are read, at the body's end, or at the time
        ``until`` of the event loop's clock. After a cancelled call has ended, the buffer is no
        longer written to.

        Raises:
            OriginError: the body ended early (`cut_off`); earlier calls returned every byte before.
        """


def open_body(response: aiohttp.ClientResponse) -> Body:
    """The body of a response, of which nothing has been read yet."""
    # Step 1: only a body of known length over plain TCP can be read from the transport: with
    # Transfer-Encoding the length is that of the chunks (RFC 9112 section 6.3, rules 3 and 4).
    connection, length = response.connection, response.content_length
    transport = None if connection is None else connection.transport
    if (
        not isinstance(transport, asyncio.Transport)
        or transport.get_extra_info("sslcontext") is not None
        or length is None
        or "Transfer-Encoding" in response.headers
    ):
        return StreamBody(response)
    # Step 2: the bytes that arrived with the head are in aiohttp's buffer.
    early = _drained(response.content)
    if len(early) == length:
        return StreamBody(response, early)
    # Step 3: take over the transport. It is paused after the buffer was emptied, because aiohttp
    # resumes reading as its buffer empties.
    transport.pause_reading()
    return TransportBody(transport, early, length, str(response.url))


def _drained(content: aiohttp.StreamReader) -> bytes:
    """The bytes that aiohttp has read after the head; its parser returns them in pieces."""
    pieces = []
    while piece := content.read_nowait():
        pieces.append(piece)
    return b"".join(pieces)


class StreamBody:
    """A body that aiohttp reads and parses; ``early`` are bytes that it has returned already."""

    def __init__(self, response: aiohttp.ClientResponse, early: bytes = b"") -> None:
        self._response = response
        self._rest = memoryview(early)
        self._ended = False
        self._failure: OriginError | None = None
        self._parsing = _Parsing.observed(response)

    @property
    def is_exhausted(self) -> bool:
        """Whether all has been given: nothing more will come."""
        return self._ended and not self._rest

    async def fill(self, buffer: memoryview, *, minimum: int, until: float) -> int:
        """Read into the beginning of ``buffer``: see :class:`Body`."""
        size = 0
        while size < minimum:
            if not self._rest:
                self._rest = memoryview(await self._next(until))
                if not self._rest:
                    break
            part = self._rest[: len(buffer) - size]
            buffer[size : size + len(part)] = part
            size += len(part)
            self._rest = self._rest[len(part) :]
        if size == 0 and self._failure is not None:
            raise self._failure
        return size

    async def _next(self, until: float) -> bytes:
        """The next bytes; none at the body's end, after a failure, or if ``until`` is reached."""
        if self._ended:
            return b""
        content = self._response.content
        try:
            with as_origin_errors(str(self._response.url)):
                try:
                    async with asyncio.timeout_at(until):
                        # A read may have made aiohttp parse bytes that it had set aside.
                        self._parsing.check()
                        part = await content.readany()
                        self._parsing.check()
                except TimeoutError:
                    return b""
        except OriginError as error:
            # The bytes that arrived are worth keeping: the next attempt continues after them.
            # aiohttp (3.14) raises before it returns its buffer, and has no public method for it.
            self._failure = error
            part = content._read_nowait(-1)
        self._ended = self._failure is not None or not part
        return part


class _Parsing(asyncio.Protocol):
    """Stands between the transport and aiohttp's protocol, and notices when the latter gives up.

    aiohttp (3.14) closes the connection when it cannot parse a chunk, and notifies neither the
    reader of the body that waits nor the one that comes next: the first would wait for ever, the
    second gets a RuntimeError. Over TLS the loss of the connection may follow much later.
    """

    def __init__(self, content: aiohttp.StreamReader, former: ResponseHandler | None) -> None:
        self._content = content
        self._former = former

    @classmethod
    def observed(cls, response: aiohttp.ClientResponse) -> "_Parsing":
        """Observe the parsing of the response's body from now on."""
        connection = response.connection
        if connection is None:  # the body was complete with the head
            return cls(response.content, None)
        former, transport = connection.protocol, connection.transport
        parsing = cls(response.content, former)
        if isinstance(transport, asyncio.Transport):
            transport.set_protocol(parsing)
        parsing.check()
        return parsing

    def check(self) -> None:
        """If parsing has failed, or the connection is lost, the body's reader gets the error."""
        content, former = self._content, self._former
        if former is None or content.is_eof() or content.exception() is not None:
            return
        error = former.exception()
        if error is None and not former.connected:
            error = aiohttp.ServerDisconnectedError()
        if error is not None:
            content.set_exception(error)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._former is not None:
            self._former.data_received(data)
            self.check()

    def eof_received(self) -> None:
        """The origin has sent its last byte."""
        if self._former is not None:
            self._former.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended, whether the body is complete or not."""
        if self._former is not None:
            self._former.connection_lost(exc)
            self.check()

    def pause_writing(self) -> None:
        """The request is written too fast for the connection."""
        if self._former is not None:
            self._former.pause_writing()

    def resume_writing(self) -> None:
        """The request can be written again."""
        if self._former is not None:
            self._former.resume_writing()


class TransportBody(asyncio.BufferedProtocol):
    """A body of ``length`` bytes from a transport; aiohttp has read the first ones, ``early``.

    The transport is paused unless a call waits for bytes, so no byte arrives without a buffer.
    """

    def __init__(self, transport: asyncio.Transport, early: bytes, length: int, url: str) -> None:
        self._early = memoryview(early)
        self._missing = length - len(early)
        self._url = url
        self._lost = False
        self._buffer = memoryview(b"")
        self._size = self._minimum = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport = transport
        # aiohttp's protocol manages the connection, and is notified when that is lost.
        self._former = transport.get_protocol()
        transport.set_protocol(self)

    @property
    def is_exhausted(self) -> bool:
        """Whether all has been given: nothing more will come."""
        return not self._early and (self._lost or self._missing == 0)

    async def fill(self, buffer: memoryview, *, minimum: int, until: float) -> int:
        """Read into the beginning of ``buffer``: see :class:`Body`."""
        size = min(len(self._early), len(buffer))
        buffer[:size], self._early = self._early[:size], self._early[size:]
        self._buffer, self._size, self._minimum = buffer, size, minimum
        if size < minimum and not self.is_exhausted:
            await self._wait_for_bytes(until)
        if self._size == 0 and self._missing and self._lost:
            raise cut_off(self._url)
        return self._size

    async def _wait_for_bytes(self, until: float) -> None:
        """Let the transport write into the buffer until it has enough bytes, or until ``until``."""
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
        """The free part of the buffer, not beyond the body's end (see asyncio.BufferedProtocol)."""
        return self._buffer[self._size : self._size + self._missing]

    def buffer_updated(self, nbytes: int) -> None:
        """``nbytes`` bytes were written to the buffer."""
        self._size += nbytes
        self._missing -= nbytes
        if self._size >= self._minimum or self._missing == 0:
            # At once: another read in this iteration of the event loop would find no free buffer.
            self._transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended, whether the body is complete or not."""
        self._lost = True
        self._wake()
        self._former.connection_lost(exc)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
