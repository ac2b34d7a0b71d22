"""The listening socket: its address, its certificate, and its graceful stop."""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from spsd.config import Settings
from spsd.errors import ConfigurationError
from spsd.storage.layout import StateDirectory
from spsd.system.certificate import ensure_self_signed, read_pair, server_context
from spsd.system.host import Appliance
from spsd.system.served_certificate import ServedCertificate
from spsd.web.middleware.connections import Connections
from spsd.web.middleware.protocol import protocols

_log = logging.getLogger(__name__)
SHUTDOWN_S = 2.0
"""Seconds that open requests get to end when the daemon stops."""
LINGER_S = 2.0
"""Seconds for which the rest of a request body is read and dropped after an early response. If the
connection is closed while the client sends, the client may never see the response."""
HANDSHAKE_S = 15.0
"""Time limit of a TLS handshake."""
BACKLOG = 64
"""Connections that the kernel queues while the loop is busy. asyncio accepts as many at a time, and
closes connections over the limit only afterwards."""
MOST_CONNECTIONS = 512
_RESERVED_DESCRIPTORS = 160
"""Descriptors that clients may not use up: for downloads, files, hooks and the database."""


def connection_limit() -> int:
    """The number of clients that may be connected at a time, by the process's descriptor limit."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
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
    context, pair = server_context(certificate, key), read_pair(certificate, key)
    pair.present(context)
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
        server = await _bind(
            connections.monitored(_factory(runner, linger_s=linger_s)),
            host,
            port,
            context,
            shutdown_s=shutdown_s,
        )
        try:
            await server.start_serving()
            bound = server.sockets[0].getsockname()[1]
            url_host = f"[{host}]" if ":" in host else host
            yield f"{'http' if context is None else 'https'}://{url_host}:{bound}"
        finally:
            server.close()
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


async def _bind(
    factory: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    *,
    shutdown_s: float,
) -> asyncio.Server:
    create: Callable[..., Awaitable[asyncio.Server]] = partial(
        asyncio.get_running_loop().create_server,
        factory,
        ssl=context,
        # Otherwise a cancellation in its last step would leave the socket open.
        start_serving=False,
        backlog=BACKLOG,
        ssl_handshake_timeout=None if context is None else HANDSHAKE_S,
        # Otherwise a client that sends no close_notify holds its descriptor for 30 s.
        ssl_shutdown_timeout=None if context is None else shutdown_s,
    )
    try:
        if host != "::":
            return await create(host, port)
        # asyncio would make a socket for IPv6 alone.
        address = (host, port)
        every = socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
        return await create(sock=every)
    except OSError as error:
        raise ConfigurationError(
            f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}"
        ) from error
