"""Bounds and intervals that no operator sets: one value for each, and a reason beside its default.

A daemon in a test is handed smaller ones, so that a small image has many sync windows and nothing
is waited for.
"""

from dataclasses import dataclass
from typing import Final

from spsd.domain.asking import WINDOWS
from spsd.domain.exchange import Windows
from spsd.listening import LINGER_S, SHUTDOWN_S
from spsd.services.integrity import CHECK_EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What :func:`spsd.daemon.open_daemon` is given beside the settings."""

    windows: Windows = WINDOWS
    """How many bytes are compared where no strong validator vouches for the object."""

    least_progress_bytes: int = 0
    """An attempt that is cut off has to bring more than these to count as a step ahead."""

    integrity_every_s: float = CHECK_EVERY_S
    shutdown_s: float = SHUTDOWN_S
    linger_s: float = LINGER_S


LIMITS: Final = Limits()
"""Those of a daemon that serves."""
