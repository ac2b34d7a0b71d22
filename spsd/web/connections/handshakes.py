"""asyncio's TLS for the connections of clients, whose handshakes take turns."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Final, cast

from spsd.web.connections.connection import Connection
from spsd.web.connections.turns import Stage, Turns

_READ_BYTES: Final = 32 * 1024


class Handshake(SSLProtocol):
    """asyncio's protocol of TLS, with a smaller buffer, and turns until the connection is made.

    It is the protocol of the socket's transport. ``connection`` gets all its events, as if there
    were no TLS, and also that the handshake has failed: ``connection_lost``.
    """

    # asyncio fills this buffer with zeros for each connection; its own has 256 KiB.
    max_size = _READ_BYTES

    def __init__(
        self,
        connection: Connection,
        context: ssl.SSLContext,
        turns: Turns[Connection],
        *,
        handshake_s: int,
        close_notify_s: float,
    ) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            connection,
            context,
            None,  # type: ignore[arg-type]  # no future has to be informed
            server_side=True,
            ssl_handshake_timeout=handshake_s,
            # Otherwise a client that sends no close_notify holds its descriptor for 30 s.
            ssl_shutdown_timeout=close_notify_s,
        )
        self._connection = connection
        self._turns = turns
        self._raw: asyncio.Transport | None = None
        self._stage = Stage.FIRST_FLIGHT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket has its transport: begin the handshake."""
        self._raw = cast(asyncio.Transport, transport)
        self._connection.handshake_began(self._raw)
        super().connection_made(transport)

    def buffer_updated(self, nbytes: int) -> None:
        """Take received bytes; during the handshake, when it is its turn."""
        if self._connection.opened or self._raw is None:
            super().buffer_updated(nbytes)
            return
        self._raw.pause_reading()
        connection = self._connection
        self._turns.wait(
            connection, connection.address, self._stage, lambda: self._take_turn(nbytes)
        )
        self._stage = Stage.LATER_FLIGHT

    def _take_turn(self, nbytes: int) -> None:
        raw = self._raw
        if raw is None or raw.is_closing():
            return
        super().buffer_updated(nbytes)
        if not raw.is_closing():
            raw.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        self._raw = None
        self._turns.discard(self._connection, self._connection.address)
        was_opened = self._connection.opened
        super().connection_lost(exc)
        if not was_opened:
            self._connection.connection_lost(None)
