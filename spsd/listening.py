"""The server's socket: its certificate, its address, and the time that a stop gives to requests."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from spsd.adapters.certificate import ensure_self_signed, fingerprint, server_context
from spsd.adapters.state_directory import StateDirectory
from spsd.config import Settings
from spsd.domain.errors import ConfigurationError

_log = logging.getLogger(__name__)

SHUTDOWN_S = 2.0
"""How long open requests may take to end on a polite stop."""


def server_tls(settings: Settings, state: StateDirectory) -> ssl.SSLContext | None:
    """The server's certificate: as configured, else a self-signed one; None for plain HTTP."""
    server = settings.server
    if server.plain_http:
        return None
    if server.certificate is not None and server.key is not None:
        pair = Path(server.certificate), Path(server.key)
    else:
        pair = ensure_self_signed(state.tls, hostname=socket.gethostname())
    _log.info("certificate %s, SHA-256 fingerprint %s", pair[0], fingerprint(pair[0]))
    return server_context(*pair)


@asynccontextmanager
async def listening(
    app: web.Application, settings: Settings, context: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """Take requests; gives the URL with the port that was really bound.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    host, port = settings.server.host, settings.server.port
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"{'http' if context is None else 'https'}://{shown}:{bound}"
    finally:
        await runner.cleanup()
