"""Accepts connections: each counts from its first moment, and costs a socket until it sends bytes.

asyncio's own server counts no connection before its TLS handshake is complete, gives each a
protocol at once, and logs a traceback whenever no descriptor is left.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address
from typing import Final

from spsd.web.connections.connection import Connection, Connections
from spsd.web.connections.handshakes import Handshake
from spsd.web.connections.turns import Stage, Turns

_log = logging.getLogger(__name__)
_AT_A_TIME: Final = 16
"""Connections that are accepted in one iteration of the loop."""
_PAUSE_S: Final = 0.1
"""Seconds without accepting after an error such as EMFILE, which would only repeat itself."""


class Acceptor:
    """Accepts connections on ``listeners``, and gives each a protocol of ``factory``.

    With a ``context`` the connections use TLS; the handshake may take ``handshake_s`` seconds from
    its first byte, and a close waits ``close_notify_s`` for that of the client.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        connections: Connections,
        factory: Callable[[], asyncio.Protocol],
        *,
        context: ssl.SSLContext | None,
        handshake_s: int,
        close_notify_s: float,
    ) -> None:
        self._listeners = listeners
        self._connections = connections
        self._factory = factory
        self._context = context
        self._handshake_s = handshake_s
        self._close_notify_s = close_notify_s
        self._turns: Turns[Connection] = Turns()
        self._opening: set[asyncio.Task[None]] = set()
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        self._warned_at = -3600.0

    def start(self) -> None:
        """Begin to accept connections."""
        for listener in self._listeners:
            listener.settimeout(0)
            self._resume(listener)

    async def stop(self) -> None:
        """Accept no more, close the listeners, and close connections that have no request yet."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        for handle in self._paused.values():
            handle.cancel()
        self._connections.close()
        if self._opening:
            await asyncio.wait(self._opening)

    def _resume(self, listener: socket.socket) -> None:
        self._paused.pop(listener, None)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_A_TIME):
            try:
                client, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has closed it already
                continue
            except OSError as error:
                self._pause(listener, error)
                return
            self._accepted(client, peer[0])

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Try again later, and close a connection, which frees a descriptor of this process."""
        if time.monotonic() - self._warned_at >= 60:
            self._warned_at = time.monotonic()
            _log.warning(
                "No connection can be accepted: %s. This is tried again, %.0f times a second",
                error.strerror,
                1 / _PAUSE_S,
            )
        self._connections.evict()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        self._paused[listener] = loop.call_later(_PAUSE_S, self._resume, listener)

    def _accepted(self, client: socket.socket, host: str) -> None:
        connection = Connection(self._connections, self._factory, _network(host))
        if not self._connections.admit(connection):
            client.close()
            return
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        connection.accepted(partial(self._drop, client, connection))
        loop.add_reader(client.fileno(), self._first_bytes, client, connection)

    def _first_bytes(self, client: socket.socket, connection: Connection) -> None:
        asyncio.get_running_loop().remove_reader(client.fileno())
        connection.begun()
        self._turns.wait(
            connection, connection.address, Stage.OPEN, partial(self._begin, client, connection)
        )

    def _begin(self, client: socket.socket, connection: Connection) -> None:
        connection.opening()
        task = asyncio.create_task(self._open(client, connection), name="open a connection")
        self._opening.add(task)
        task.add_done_callback(self._opened)

    async def _open(self, client: socket.socket, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        protocol: asyncio.BaseProtocol = connection
        if self._context is not None:
            protocol = Handshake(
                connection,
                self._context,
                self._turns,
                handshake_s=self._handshake_s,
                close_notify_s=self._close_notify_s,
            )
        await loop.connect_accepted_socket(lambda: protocol, client)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection could not be opened", exc_info=error)

    def _drop(self, client: socket.socket, connection: Connection) -> None:
        """Close a socket that has no transport yet."""
        asyncio.get_running_loop().remove_reader(client.fileno())
        self._turns.discard(connection, connection.address)
        client.close()


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    """The part of an address that one client has: of IPv6, the network of 64 bits."""
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
