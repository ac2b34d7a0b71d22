"""One accepted connection: it reads request heads and sends responses as they were planned."""

import asyncio
import fcntl
import io
import os
import socket
import ssl
import struct
import termios
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Self, assert_never

from spsd.testing.origin.body import Filler, Piece, Span, sliced
from spsd.testing.origin.objects import ContentFile, http_date
from spsd.testing.origin.record import RequestRecord
from spsd.testing.origin.response import Ending, Response

HEAD_LIMIT: Final = 64 * 1024
_BLOCK: Final = 64 * 1024
_SENDFILE_BLOCK: Final = 1024 * 1024
_LINGER_S: Final = 1.0
_FLIPPED: Final = bytes(byte ^ 0xFF for byte in range(256))


class Connection:
    """A connection to one client.

    Each method that sends or receives raises ConnectionError if the client closes the connection.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        accepted: socket.socket,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._socket = accepted
        self._is_plain = writer.get_extra_info("ssl_object") is None
        # Without a buffer the transport has nothing left to send when `drain` returns. The TLS
        # transport pauses as soon as its limit is reached; with a limit of 0 it would never resume.
        writer.transport.set_write_buffer_limits(high=0 if self._is_plain else 1)

    @classmethod
    async def from_socket(cls, accepted: socket.socket, context: ssl.SSLContext | None) -> Self:
        """Return the connection over this socket, after a TLS handshake if there is a context.

        Raises:
            ssl.SSLError: The handshake failed.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(HEAD_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=context)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop), accepted)

    async def read_head(self) -> bytes:
        """Return the next request head, with the empty line at its end.

        Raises:
            asyncio.IncompleteReadError: The client closed the connection.
            asyncio.LimitOverrunError: The head is longer than `HEAD_LIMIT` bytes.
        """
        return await self._reader.readuntil(b"\r\n\r\n")

    async def send(self, response: Response, content: ContentFile, record: RequestRecord) -> bool:
        """Send the response and note its status and body bytes in ``record``.

        Returns whether the connection can take another request.
        """
        await asyncio.sleep(response.delay_s)
        record.status = response.status
        await self._write(response.head(http_date(datetime.now(UTC))))
        if response.gzip:
            await self._send_coded(response, content, record)
        else:
            await self._send_body(response, content, record)
        if response.chunked:
            await self._write(b"0\r\n\r\n")
        match response.ending:
            case Ending.KEEP:
                return True
            case Ending.CLOSE:
                return False
            case Ending.RESET:
                await self.reset()
                return False
            case Ending.HANG:
                while await self._reader.read(_BLOCK):
                    pass
                return False
            case _:
                assert_never(response.ending)

    async def reject(self, response: Response) -> None:
        """Send the response to bytes that are not a request, then read what the client sends.

        Reading ends when the client closes, or after `_LINGER_S` seconds. To close with unread
        bytes would reset the connection, and the client might lose the response (RFC 9112 9.6).
        """
        await self._write(response.head(http_date(datetime.now(UTC))))
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_BLOCK):
                    pass

    async def close(self) -> None:
        """Close the connection; everything written before is delivered."""
        # A second close makes asyncio's TLS transport drop its connection, and `abort` would fail.
        if not self._writer.is_closing():
            self._writer.close()
        await self._writer.wait_closed()

    async def abort(self) -> None:
        """End the connection at once; harmless after `close`."""
        self._writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    async def reset(self) -> None:
        """Send RST when everything written has been acknowledged: RST discards the rest."""
        while self._is_open() and self._unacknowledged():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.abort()

    async def _send_body(
        self, response: Response, content: ContentFile, record: RequestRecord
    ) -> None:
        if response.drip is not None:
            for piece in sliced(response.body, response.drip.bytes_per_write):
                await self._write_body(await _read(piece, content), response, record)
                await asyncio.sleep(response.drip.interval_s)
            return
        is_direct = self._is_plain and not response.chunked
        file = content if is_direct and isinstance(content, io.FileIO) else None
        for piece in sliced(response.body, _BLOCK if file is None else _SENDFILE_BLOCK):
            if file is not None and isinstance(piece, Span) and not piece.flipped:
                await self._sendfile(file, piece, record)
            else:
                await self._write_body(await _read(piece, content), response, record)

    async def _send_coded(
        self, response: Response, content: ContentFile, record: RequestRecord
    ) -> None:
        compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        for piece in sliced(response.body, _BLOCK):
            if coded := compressor.compress(await _read(piece, content)):
                await self._write_body(coded, response, record)
        await self._write_body(compressor.flush(), response, record)

    async def _write_body(self, data: bytes, response: Response, record: RequestRecord) -> None:
        # Count before sending, so that a client never has a byte that is not counted.
        record.sent += len(data)
        await self._write(b"%x\r\n%b\r\n" % (len(data), data) if response.chunked else data)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _sendfile(self, file: io.FileIO, span: Span, record: RequestRecord) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        loop = asyncio.get_running_loop()
        before = record.sent
        record.sent += span.length
        file.seek(span.start)
        try:
            sent = await loop.sendfile(transport, file, span.start, span.length)
        except ConnectionError:
            record.sent = before + file.tell() - span.start
            raise
        if sent < span.length:
            record.sent = before + sent
            raise ConnectionAbortedError("the file was shortened while it was sent")

    def _is_open(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def _unacknowledged(self) -> int:
        queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        count: int = struct.unpack("i", queued)[0]
        return count


async def _read(piece: Piece, content: ContentFile) -> bytes:
    match piece:
        case bytes():
            return piece
        case Filler(length):
            return bytes(length)
        case Span(start, length, flipped):
            if isinstance(content, io.FileIO):
                data = await asyncio.to_thread(os.pread, content.fileno(), length, start)
            else:
                content.seek(start)
                data = content.read(length)
            if len(data) < length:
                raise ConnectionAbortedError("the file was shortened while it was sent")
            return data.translate(_FLIPPED) if flipped else data
        case _:
            assert_never(piece)
