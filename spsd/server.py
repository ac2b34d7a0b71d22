"""The server's socket: its certificate, its address, and the time that a stop gives to requests."""

import asyncio
import logging
import resource
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from spsd.config import Settings
from spsd.errors import ConfigurationError
from spsd.storage.layout import StateDirectory
from spsd.system.certificate import ensure_self_signed, fingerprint, server_context
from spsd.web.middleware.connections import Connections

_log = logging.getLogger(__name__)
SHUTDOWN_S = 2.0
"""How long open requests may take to end on a polite stop."""
LINGER_S = 2.0
"""How long the rest of a body is read, and dropped, that was answered before its end: a client
that is cut off while it sends may never see the answer."""
HANDSHAKE_S = 15.0
"""For TLS to be agreed on."""
BACKLOG = 64
"""Connections that the kernel keeps while the loop is busy; asyncio takes as many in one go, before
those that had to make room are closed."""
MOST_CONNECTIONS = 512
_FOR_THE_WORK = 160
"""Descriptors that clients of ours may not take: those of downloads, files, hooks, the database."""


def connection_limit() -> int:
    """How many clients may be connected: what the work leaves of the process's descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(MOST_CONNECTIONS, descriptors - _FOR_THE_WORK))


def server_tls(
    settings: Settings, state: StateDirectory, *, host_name: str
) -> ssl.SSLContext | None:
    """The server's certificate: as configured, else a self-signed one for ``host_name``.

    None for plain HTTP.
    """
    server = settings.server
    if server.plain_http:
        return None
    if server.certificate is not None and server.key is not None:
        pair = Path(server.certificate), Path(server.key)
    else:
        pair = ensure_self_signed(state.tls, hostname=host_name)
    _log.info("certificate %s, SHA-256 fingerprint %s", pair[0], fingerprint(pair[0]))
    return server_context(*pair)


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
    """Take requests; gives the URL with the port that was really bound.

    ``shutdown_s`` and ``linger_s``: see :data:`SHUTDOWN_S` and :data:`LINGER_S`.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    host, port = settings.server.host, settings.server.port
    runner = web.AppRunner(
        app,
        shutdown_timeout=shutdown_s,
        access_log=None,
        lingering_time=linger_s,
        logger=_server_log(),
    )
    await runner.setup()
    try:
        server = await _bound(
            connections.monitored(_factory(runner)), host, port, context, shutdown_s=shutdown_s
        )
        try:
            await server.start_serving()
            bound = server.sockets[0].getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            yield f"{'http' if context is None else 'https'}://{shown}:{bound}"
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _server_log() -> logging.Logger:
    """Aiohttp's log without tracebacks for what is no HTTP: floods of it fill disks.

    That is heads, and bodies that are not coded as they say, whose rest is read after the answer.
    """
    log = logging.getLogger("spsd.server")
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)


def _factory(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    return runner.server


async def _bound(
    factory: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    *,
    shutdown_s: float,
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            factory,
            host,
            port,
            ssl=context,
            # Else a cancel in its last step would leave the socket open, with nobody to close it.
            start_serving=False,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_S,
            # Else a client that does not say good-bye keeps its descriptor for half a minute.
            ssl_shutdown_timeout=None if context is None else shutdown_s,
        )
    except OSError as error:
        raise ConfigurationError(
            f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}"
        ) from error
