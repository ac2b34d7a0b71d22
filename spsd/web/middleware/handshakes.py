"""TLS handshakes take turns, so that the requests of other connections get theirs.

A handshake costs as much time of the event loop as many requests, and all its work is done when a
flight of the client has arrived. :class:`Turns` does this work for a millisecond in an iteration of
the loop, and gives each address its turn.
"""

import asyncio
import ssl
import time
from asyncio.sslproto import SSLProtocol
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from spsd.web.middleware.connections import Connection

TURN_S: Final = 0.001
"""Time for handshakes in one iteration of the loop; one that has begun is not interrupted."""
_READ_BYTES: Final = 32 * 1024


class Turns:
    """The handshakes that have received bytes and wait for their turn."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._runs = False

    def wait(self, address: str, take_turn: Callable[[], None]) -> None:
        """Call ``take_turn`` when it is the turn of this handshake with a client at ``address``."""
        self._waiting.setdefault(address, deque()).append(take_turn)
        if not self._runs:
            self._runs = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        began = time.monotonic()
        while self._waiting and time.monotonic() - began < TURN_S:
            address = next(iter(self._waiting))
            queue = self._waiting.pop(address)
            take_turn = queue.popleft()
            if queue:
                self._waiting[address] = queue  # behind the other addresses
            take_turn()
        self._runs = bool(self._waiting)
        if self._runs:
            asyncio.get_running_loop().call_soon(self._run)


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
        turns: Turns,
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
        self._turns.wait(self._connection.address, lambda: self._take_turn(nbytes))

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
        was_opened = self._connection.opened
        super().connection_lost(exc)
        if not was_opened:
            self._connection.connection_lost(None)
