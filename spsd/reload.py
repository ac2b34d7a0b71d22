"""Reload at SIGHUP: ``[fetch]`` is the part of the configuration that changes at run time."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from spsd.config import FetchSettings, Settings
from spsd.errors import ConfigurationError, StateError
from spsd.hangup import EarlyHangup
from spsd.system.systemd import Notifier
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, OriginSettings
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.proxy import proxy_settings
from spsd.transfer.rules.retry import RetryPolicy

_log = logging.getLogger(__name__)
Reread = Callable[[], Settings]
"""Reads the configuration file; blocks; raises ConfigurationError."""
Apply = Callable[[FetchSettings], Awaitable[None]]
"""Puts ``[fetch]`` and the certificate's files into effect. It raises ConfigurationError or
StateError, and has changed nothing then."""


class Configuration:
    """The settings in effect, of which ``[fetch]`` can be replaced while the daemon runs."""

    def __init__(self, settings: Settings, apply: Apply) -> None:
        """``settings`` are already in effect; ``apply`` puts another ``[fetch]`` into effect."""
        self._settings = settings
        self._apply = apply

    @property
    def settings(self) -> Settings:
        """The settings in effect."""
        return self._settings

    async def replace(self, read: Settings) -> None:
        """Put ``[fetch]`` of ``read`` into effect; all other changes need a restart.

        Raises:
            ConfigurationError: ``[fetch]`` or the certificate's files cannot be put into effect.
                Nothing has changed.
            StateError: a self-signed certificate cannot be renewed. Nothing has changed.
        """
        await self._apply(read.fetch)
        before = self._settings
        self._settings = msgspec.structs.replace(before, fetch=read.fetch)
        # Only the names are logged: a value may hold a password.
        changed = _changed_keys(before, self._settings)
        _log.info("configuration read again, changed: %s", ", ".join(changed) or "nothing")
        if pending := _changed_keys(self._settings, read):
            _log.warning("these changes need a restart: %s", ", ".join(pending))


class Reloading:
    """Reads the configuration again at each SIGHUP, and notifies systemd."""

    def __init__(self, configuration: Configuration, reread: Reread, *, notifier: Notifier) -> None:
        """``reread`` runs in a thread."""
        self._configuration = configuration
        self._reread = reread
        self._notifier = notifier

    async def run(self, requested: asyncio.Event) -> None:
        """Reload each time that ``requested`` is set; it runs until it is cancelled."""
        while True:
            await requested.wait()
            requested.clear()
            self._notifier.reloading()
            self._notifier.ready(await self._reload())

    async def _reload(self) -> str:
        """Reload; gives a line for ``systemctl status``."""
        try:
            await self._configuration.replace(await asyncio.to_thread(self._reread))
        except (ConfigurationError, StateError) as error:
            _log.error("the configuration was not changed: %s", error)
            return "the configuration could not be read again; see the log"
        return "configuration read again"


@contextmanager
def reload_requests() -> Iterator[asyncio.Event]:
    """An event that SIGHUP sets, until the context ends.

    It is set at once if SIGHUP arrived after :func:`spsd.hangup.remember_hangup`.
    """
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()

    # Not with add_signal_handler: to remove that one, asyncio restores the default action first.
    def request(*_: object) -> None:
        loop.call_soon_threadsafe(requested.set)

    previous = signal.signal(signal.SIGHUP, request)
    if isinstance(previous, EarlyHangup) and previous.received:
        requested.set()
    try:
        yield requested
    finally:
        signal.signal(signal.SIGHUP, previous)


def origin_settings(fetch: FetchSettings, environ: Mapping[str, str]) -> OriginSettings:
    """The settings of the origin client. It blocks, since it reads the certificate authorities.

    ``environ`` names the proxies if ``[fetch]`` does not.

    Raises:
        ConfigurationError: the authorities cannot be read, or a proxy cannot be used.
    """
    return OriginSettings(
        policy=AddressPolicy(fetch.allow),
        trust=Trust.for_policy(
            fetch.tls, Path(fetch.ca_file) if fetch.ca_file is not None else None
        ),
        limits=Limits(
            connect_timeout_s=fetch.connect_timeout_s,
            minimum_bytes_per_s=fetch.minimum_bytes_per_s,
            stall_window_s=fetch.stall_window_s,
            rate_limit_bytes_per_s=fetch.rate_limit_bytes_per_s,
        ),
        proxies=proxy_settings(fetch.proxy, fetch.no_proxy, environ),
    )


def retry_policy(fetch: FetchSettings, *, least_progress: int = 0) -> RetryPolicy:
    """How often and how soon a job tries again.

    An interrupted attempt counts as progress only if it brought more new bytes than
    ``least_progress``, or than the minimum rate yields during the first wait, if that is more.
    """
    return RetryPolicy(
        budget=fetch.attempts,
        initial_s=fetch.backoff_initial_s,
        limit_s=fetch.backoff_limit_s,
        stall_floor=int(fetch.minimum_bytes_per_s * fetch.stall_window_s),
        cut_floor=max(least_progress, int(fetch.minimum_bytes_per_s * fetch.backoff_initial_s)),
    )


def _changed_keys(before: Settings, after: Settings) -> list[str]:
    """The keys whose values differ, as ``section.key``."""
    return [
        f"{section}.{key}"
        for section in before.__struct_fields__
        for key in getattr(before, section).__struct_fields__
        if getattr(getattr(before, section), key) != getattr(getattr(after, section), key)
    ]
