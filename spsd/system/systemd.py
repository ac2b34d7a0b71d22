"""systemd's datagrams: readiness and watchdog.

The protocol of sd_notify(3) is one datagram per message, so no library is needed. Without systemd
everything here does nothing.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd how the daemon is; a socket that is gone is logged once and then ignored."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._complained = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Notifier":
        """As the service manager set it up for this process."""
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and address.startswith("@"):
            address = "\0" + address[1:]  # the abstract name space
        return cls(address, watchdog_s=_watchdog_s(environ))

    def ready(self, status: str) -> None:
        """Start-up is done."""
        self._send(f"READY=1\n{_status_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` says that it is done."""
        # systemd tells by the time whether a reload is the one it asked for.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status_line(text))

    def stopping(self) -> None:
        """A polite stop has begun."""
        self._send("STOPPING=1")

    async def watch(self, turns: Callable[[], Awaitable[None]]) -> None:
        """Prove for ever that the event loops turn; returns at once if nobody watches them.

        ``turns`` waits until the other loop has turned.
        """
        if self._address is None or self._watchdog_s is None:
            return
        while True:
            await turns()
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            # A socket for each message: they are seconds apart, and there is nothing to close.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(0)
                channel.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("cannot notify systemd: %s", error)


def _status_line(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The interval, None if it is meant for another process or for nobody."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1_000_000
