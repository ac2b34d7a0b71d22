"""Bounds and intervals that no operator sets; each has its reason where its default is defined.

A daemon in a test is handed smaller ones, so that a small image has many sync windows and nothing
is waited for.
"""

from dataclasses import dataclass, field
from typing import Final

from spsd.accounts.argon2 import MEMORY_KIB, TIME_COST
from spsd.jobs.feed import MOST_WAITING
from spsd.server import LINGER_S, SHUTDOWN_S
from spsd.slots.hooks import REBOOT_DELAY_S
from spsd.slots.integrity import CHECK_EVERY_S
from spsd.storage.database import LOCK_WAITS
from spsd.storage.inspection import BUSY_TIMEOUT_S
from spsd.system.loop_thread import EVERY_S
from spsd.transfer.rules.messages import Windows
from spsd.transfer.rules.request import WINDOWS
from spsd.transfer.staging.partial_file import BLOCK, SYNC_WINDOW
from spsd.web.limits import WebLimits
from spsd.web.middleware.connections import LOOK_EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What :func:`spsd.daemon.open_daemon` is given beside the settings. Times are in seconds."""

    sync_window_bytes: int = SYNC_WINDOW
    """How much of a partial file a power cut may take."""
    block_bytes: int = BLOCK
    """What is hashed and written at a time."""
    windows: Windows = WINDOWS
    """How many bytes are compared where no strong validator vouches for the object."""
    least_progress_bytes: int = 0
    """An attempt that is cut off has to bring more than these to count as a step ahead."""

    busy_s: float = BUSY_TIMEOUT_S
    """How long a statement waits for another program's lock of the database."""
    lock_waits: int = LOCK_WAITS
    """How often the work tries a statement so; a request tries once."""
    password_time_cost: int = TIME_COST
    password_memory_kib: int = MEMORY_KIB

    integrity_every_s: float = CHECK_EVERY_S
    lag_every_s: float = EVERY_S
    connections_every_s: float = LOOK_EVERY_S
    reboot_delay_s: float = REBOOT_DELAY_S
    shutdown_s: float = SHUTDOWN_S
    linger_s: float = LINGER_S
    most_waiting: int = MOST_WAITING
    """Requests that may wait for changes or read along."""
    web: WebLimits = field(default_factory=WebLimits)


LIMITS: Final = Limits()
"""Those of a daemon that serves."""
