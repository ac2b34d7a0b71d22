"""SIGHUP before the event loop runs and after it has ended.

Its default action ends the process, and most of a start is spent on imports. So the handler is set
before these, and this module imports nothing that takes time.
"""

import signal


class EarlyHangup:
    """A handler of SIGHUP; ``received`` states whether the signal arrived."""

    def __init__(self) -> None:
        self.received = False

    def __call__(self, *_: object) -> None:
        """Handle the signal."""
        self.received = True


def remember_hangup() -> None:
    """From now on SIGHUP is remembered; :func:`spsd.reload.reload_requests` answers it later.

    A second call changes nothing.
    """
    if not isinstance(signal.getsignal(signal.SIGHUP), EarlyHangup):
        signal.signal(signal.SIGHUP, EarlyHangup())


def ignore_hangup() -> None:
    """From now on SIGHUP does nothing, also after Python has removed the handlers at its end."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
