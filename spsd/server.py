"""The listening socket: its address, its certificate, and its graceful stop."""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from spsd.config import Settings
from spsd.errors import ConfigurationError
from spsd.storage.layout import StateDirectory
from spsd.system.certificate import context_of, ensure_self_signed, read_pair
from spsd.system.host import Appliance
from spsd.system.served_certificate import ServedCertificate
from spsd.web.connections.acceptor import Acceptor
from spsd.web.connections.connection import Connections
from spsd.web.connections.protocol import protocols

_log = logging.getLogger(__name__)
SHUTDOWN_S = 2.0
"""Seconds that open requests get to end when the daemon stops."""
LINGER_S = 2.0
"""Seconds for which the rest of a request body is read and dropped after an early response. If the
connection is closed while the client sends, the client may never see the response."""
HANDSHAKE_S = 15
"""Time limit of a TLS handshake."""
BACKLOG = 1024
"""Connections that the kernel queues while the loop is busy. It drops what a client sends to open
one more, and the client tries again after a second."""
SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel holds of a response that a client does not read; Linux doubles it. It would hold
some MiB otherwise, which would be encrypted for clients that never read them."""
MOST_CONNECTIONS = 512
MOST_DESCRIPTORS = 4096
"""Descriptors of the process; connections, downloads and files use a part of them."""
_RESERVED_DESCRIPTORS = 160
"""Descriptors that clients may not use up: for downloads, files, hooks and the database."""


def raise_descriptor_limit() -> None:
    """Raise the process's soft limit of descriptors to the hard one, or to what is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def connection_limit() -> int:
    """The number of clients that may be connected at a time, by the process's descriptor limit."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, descriptors - _RESERVED_DESCRIPTORS))


def server_certificate(
    settings: Settings, state: StateDirectory, *, appliance: Appliance, now: Callable[[], int]
) -> ServedCertificate | None:
    """The configured certificate, or a self-signed one for ``appliance``, in a TLS context.

    None for plain HTTP. It reads and writes files, so run it outside the event loop. ``now`` is the
    time in seconds since the epoch.

    Raises:
        ConfigurationError: the configured certificate or its key cannot be used.
        StateError: a self-signed certificate cannot be written.
    """
    server = settings.server
    if server.plain_http:
        return None

    def files() -> tuple[Path, Path]:
        if server.certificate is not None and server.key is not None:
            return Path(server.certificate), Path(server.key)
        return ensure_self_signed(
            state.tls,
            hostname=appliance.host_name,
            names=appliance.other_names(),
            configured=server.certificate_names,
            now=datetime.fromtimestamp(now(), UTC),
        )

    certificate, key = files()
    pair = read_pair(certificate, key)
    context = context_of(pair)
    _log.info("certificate %s, SHA-256 fingerprint %s", certificate, pair.fingerprint)
    return ServedCertificate(context, pair, lambda: read_pair(*files()))


@asynccontextmanager
async def listening(
    app: web.Application,
    settings: Settings,
    context: ssl.SSLContext | None,
    connections: Connections,
    *,
    shutdown_s: float = SHUTDOWN_S,
    linger_s: float = LINGER_S,
) -> AsyncIterator[str]:
    """Serve requests until the context ends; gives the URL, with the port that was bound.

    ``shutdown_s`` and ``linger_s``: see :data:`SHUTDOWN_S` and :data:`LINGER_S`.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    host, port = settings.server.host, settings.server.port
    runner = web.AppRunner(
        app,
        shutdown_timeout=shutdown_s,
        access_log=None,
    )
    await runner.setup()
    try:
        listeners = await listening_sockets(host, port)
        acceptor = Acceptor(
            listeners,
            connections,
            _factory(runner, linger_s=linger_s),
            context=context,
            handshake_s=HANDSHAKE_S,
            close_notify_s=shutdown_s,
        )
        acceptor.start()
        try:
            bound = listeners[0].getsockname()[1]
            url_host = f"[{host}]" if ":" in host else host
            yield f"{'http' if context is None else 'https'}://{url_host}:{bound}"
        finally:
            await acceptor.stop()
    finally:
        await runner.cleanup()


def _server_log() -> logging.Logger:
    """The logger for aiohttp, which drops the tracebacks that malformed requests cause.

    Clients could fill the disk with them. Malformed are heads that are not HTTP, and bodies whose
    content does not have its declared coding, found when the rest is read after the response.
    """
    log = logging.getLogger("spsd.server")
    log.addFilter(_is_not_clients_fault)
    return log


def _is_not_clients_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)


def _factory(runner: web.AppRunner, *, linger_s: float) -> Callable[[], asyncio.Protocol]:
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    return protocols(runner.server, lingering_s=linger_s, logger=_server_log())


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of ``host``, on the same port.

    ``::`` is every address of the machine, those of IPv4 included.

    Raises:
        ConfigurationError: an address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            if sockets and not port:  # the first one has chosen it
                address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901
            sockets.append(_listen(family, address, dual_stack=host == "::"))
    except OSError as error:
        for each in sockets:
            each.close()
        raise ConfigurationError(
            f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}"
        ) from error
    return sockets


def _listen(family: int, address: tuple[object, ...], *, dual_stack: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        listener.bind(address)
        # Each accepted connection has it too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
