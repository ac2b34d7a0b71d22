"""Notifications to systemd: readiness, reload, status, stop, and watchdog.

The protocol of sd_notify(3) is one datagram per message, so no library is needed. Without systemd
all methods do nothing.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Sends notifications to systemd. The first failure is logged, all others are ignored.

    Its socket is opened at once and stays open, so that a watchdog message needs no descriptor when
    none is left. :meth:`close` closes it.

    ``address`` is that of systemd's socket; None: not run by systemd. ``watchdog_s`` is the time
    within which systemd expects a message; None: no watchdog.
    """

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._warned = False
        self._channel: socket.socket | None = None
        if address is not None:
            try:
                self._channel = _connected(address)
            except OSError as error:
                self._warn(error)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Notifier":
        """From the variables that systemd sets for its services."""
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and address.startswith("@"):
            address = "\0" + address[1:]  # the abstract name space
        return cls(address, watchdog_s=_watchdog_s(environ))

    def ready(self, status: str) -> None:
        """Report that the start, or a reload, is complete."""
        self._send(f"READY=1\n{_status_line(status)}")

    def reloading(self) -> None:
        """Report that a reload begins; :meth:`ready` reports its end."""
        # By the time systemd recognises the reload that it has requested.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """Set the line of text that ``systemctl status`` shows."""
        self._send(_status_line(text))

    def stopping(self) -> None:
        """Report that the daemon has begun to stop."""
        self._send("STOPPING=1")

    async def feed_watchdog(self, wait_for_iteration: Callable[[], Awaitable[None]]) -> None:
        """Report to the watchdog, twice in its time, that both event loops run.

        It runs until it is cancelled; without a watchdog it returns at once.
        ``wait_for_iteration`` waits until the second loop has run one iteration.
        """
        if self._address is None or self._watchdog_s is None:
            return
        while True:
            await wait_for_iteration()
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            if self._channel is None:
                self._channel = _connected(self._address)
            self._channel.send(message.encode())
        except BlockingIOError as error:  # systemd has not read the messages before
            self._warn(error)
        except OSError as error:
            # The socket at the address may be another one by the next message.
            self.close()
            self._warn(error)

    def close(self) -> None:
        """Close the socket; a later message would open it again."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("cannot notify systemd: %s", error)


def _connected(address: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        channel.settimeout(0)
        channel.connect(address)
    except OSError:
        channel.close()
        raise
    return channel


def _status_line(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The watchdog's time in seconds; None if there is no watchdog for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1_000_000
