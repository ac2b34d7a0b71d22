"""What of the configuration can change while the daemon runs, and SIGHUP, which changes it."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from spsd.config import FetchSettings, Settings
from spsd.errors import ConfigurationError
from spsd.system.systemd import Notifier
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, OriginSettings
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.proxy import proxy_settings
from spsd.transfer.rules.retry import RetryPolicy

_log = logging.getLogger(__name__)
Reread = Callable[[], Settings]
Apply = Callable[[FetchSettings], Awaitable[None]]


class Configuration:
    """The settings in force: ``[fetch]`` can be replaced while the daemon runs."""

    def __init__(self, settings: Settings, apply: Apply) -> None:
        """``apply`` raises ConfigurationError and has changed nothing then."""
        self._settings = settings
        self._apply = apply

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return self._settings

    async def replace(self, read: Settings) -> None:
        """Put ``[fetch]`` of ``read`` in force, or nothing; all other changes need a restart.

        Raises:
            ConfigurationError: it cannot be put in force.
        """
        await self._apply(read.fetch)
        before = self._settings
        self._settings = msgspec.structs.replace(before, fetch=read.fetch)
        # Names only: a value may be a password.
        changed = _differing(before, self._settings)
        _log.info("configuration read again, changed: %s", ", ".join(changed) or "nothing")
        if waiting := _differing(self._settings, read):
            _log.warning("these changes need a restart: %s", ", ".join(waiting))


class Reloading:
    """Reads the file again at each SIGHUP, and keeps systemd informed."""

    def __init__(self, configuration: Configuration, reread: Reread, *, notifier: Notifier) -> None:
        """``reread`` blocks, and raises ConfigurationError."""
        self._configuration = configuration
        self._reread = reread
        self._notifier = notifier

    async def run(self, wanted: asyncio.Event) -> None:
        """Serve ``wanted``, as often as it is set."""
        while True:
            await wanted.wait()
            wanted.clear()
            self._notifier.reloading()
            self._notifier.ready(await self._reload())

    async def _reload(self) -> str:
        """Do it; gives a line for ``systemctl status``."""
        try:
            await self._configuration.replace(await asyncio.to_thread(self._reread))
        except ConfigurationError as error:
            _log.error("the configuration stays as it was: %s", error)
            return "the configuration could not be read again, see the log"
        return "configuration read again"


@contextmanager
def hang_ups() -> Iterator[asyncio.Event]:
    """An event that SIGHUP sets, for as long as the context lasts."""
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, wanted.set)
    try:
        yield wanted
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def origin_settings(fetch: FetchSettings, environ: Mapping[str, str]) -> OriginSettings:
    """What decides how origins are asked; blocks, since it reads the authorities.

    Raises:
        ConfigurationError: they cannot be read.
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

    An attempt that is cut off has to bring more than ``least_progress`` new bytes to count as a
    step ahead, or more than that where ``[fetch]`` says so.
    """
    return RetryPolicy(
        budget=fetch.attempts,
        initial_s=fetch.backoff_initial_s,
        limit_s=fetch.backoff_limit_s,
        stall_floor=int(fetch.minimum_bytes_per_s * fetch.stall_window_s),
        cut_floor=max(least_progress, int(fetch.minimum_bytes_per_s * fetch.backoff_initial_s)),
    )


def _differing(one: Settings, other: Settings) -> list[str]:
    """The keys whose values differ, as ``section.key``."""
    return [
        f"{section}.{key}"
        for section in one.__struct_fields__
        for key in getattr(one, section).__struct_fields__
        if getattr(getattr(one, section), key) != getattr(getattr(other, section), key)
    ]
