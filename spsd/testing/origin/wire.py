"""One accepted connection: request heads come in, replies go out as they were planned."""

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

from spsd.testing.origin.asked import Asked
from spsd.testing.origin.body import Filler, Piece, Span, sliced
from spsd.testing.origin.reply import Ending, Reply
from spsd.testing.origin.stored import Source, http_date

HEAD_LIMIT: Final = 64 * 1024
_BLOCK: Final = 64 * 1024
_SENDFILE_BLOCK: Final = 1024 * 1024
_LINGER_S: Final = 1.0
_FLIPPED: Final = bytes(byte ^ 0xFF for byte in range(256))


class Wire:
    """A connection to one client; a client that goes away shows as ConnectionError."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: socket.socket,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._socket = connection
        self._is_plain = writer.get_extra_info("ssl_object") is None
        # With no buffer of its own the transport has nothing left to send when `drain` returns.
        # That of TLS pauses at its limit, not above, and would never go on at a limit of nothing.
        writer.transport.set_write_buffer_limits(high=0 if self._is_plain else 1)

    @classmethod
    async def over(cls, connection: socket.socket, context: ssl.SSLContext | None) -> Self:
        """Return the wire over this connection, after the TLS handshake if there is a context."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(HEAD_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop), connection)

    async def head(self) -> bytes:
        """Return the next request head.

        Raises:
            asyncio.IncompleteReadError: The client has left.
            asyncio.LimitOverrunError: It is longer than any head needs to be.
        """
        return await self._reader.readuntil(b"\r\n\r\n")

    async def perform(self, reply: Reply, source: Source, asked: Asked) -> bool:
        """Send the reply, keep account in `asked`, and tell whether the connection lives on."""
        await asyncio.sleep(reply.delay_s)
        asked.status = reply.status
        await self._write(reply.head(http_date(datetime.now(UTC))))
        if reply.gzip:
            await self._send_coded(reply, source, asked)
        else:
            await self._send_body(reply, source, asked)
        if reply.chunked:
            await self._write(b"0\r\n\r\n")
        match reply.ending:
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
                assert_never(reply.ending)

    async def reject(self, reply: Reply) -> None:
        """Send the reply to what was no request, then let the client finish speaking.

        To close with its words unread would reset the connection and might take the reply with it
        (RFC 9112 section 9.6).
        """
        await self._write(reply.head(http_date(datetime.now(UTC))))
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_BLOCK):
                    pass

    async def close(self) -> None:
        """End the connection in good order: everything written arrives."""
        # A second time asyncio's TLS lets go of the connection, and `abort` would find none.
        if not self._writer.is_closing():
            self._writer.close()
        await self._writer.wait_closed()

    async def abort(self) -> None:
        """End the connection at once; harmless after `close`."""
        self._writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    async def reset(self) -> None:
        """Send RST, after all that was written has arrived: RST would throw away the rest."""
        while self._listens() and self._unacknowledged():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.abort()

    async def _send_body(self, reply: Reply, source: Source, asked: Asked) -> None:
        if reply.drip is not None:
            for piece in sliced(reply.body, reply.drip.bytes_per_write):
                await self._write_body(await _read(piece, source), reply, asked)
                await asyncio.sleep(reply.drip.interval_s)
            return
        is_direct = self._is_plain and not reply.chunked
        file = source if is_direct and isinstance(source, io.FileIO) else None
        for piece in sliced(reply.body, _BLOCK if file is None else _SENDFILE_BLOCK):
            if file is not None and isinstance(piece, Span) and not piece.flipped:
                await self._sendfile(file, piece, asked)
            else:
                await self._write_body(await _read(piece, source), reply, asked)

    async def _send_coded(self, reply: Reply, source: Source, asked: Asked) -> None:
        compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        for piece in sliced(reply.body, _BLOCK):
            if coded := compressor.compress(await _read(piece, source)):
                await self._write_body(coded, reply, asked)
        await self._write_body(compressor.flush(), reply, asked)

    async def _write_body(self, data: bytes, reply: Reply, asked: Asked) -> None:
        # Counted before it is sent, so that no client has a byte that has not been counted.
        asked.sent += len(data)
        await self._write(b"%x\r\n%b\r\n" % (len(data), data) if reply.chunked else data)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _sendfile(self, file: io.FileIO, span: Span, asked: Asked) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            raise ConnectionResetError("the client went away")
        loop = asyncio.get_running_loop()
        before = asked.sent
        asked.sent += span.length
        file.seek(span.start)
        try:
            sent = await loop.sendfile(transport, file, span.start, span.length)
        except ConnectionError:
            asked.sent = before + file.tell() - span.start
            raise
        if sent < span.length:
            asked.sent = before + sent
            raise ConnectionAbortedError("the file shrank while it was sent")

    def _listens(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def _unacknowledged(self) -> int:
        queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        count: int = struct.unpack("i", queued)[0]
        return count


async def _read(piece: Piece, source: Source) -> bytes:
    match piece:
        case bytes():
            return piece
        case Filler(length):
            return bytes(length)
        case Span(start, length, flipped):
            if isinstance(source, io.FileIO):
                data = await asyncio.to_thread(os.pread, source.fileno(), length, start)
            else:
                source.seek(start)
                data = source.read(length)
            if len(data) < length:
                raise ConnectionAbortedError("the file shrank while it was sent")
            return data.translate(_FLIPPED) if flipped else data
        case _:
            assert_never(piece)
