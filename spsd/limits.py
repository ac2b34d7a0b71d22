"""Limits and intervals that are no settings. Their defaults are explained where they are defined.

Tests pass smaller values, so that a small image has many sync windows and no test has to wait.
"""

from dataclasses import dataclass, field
from typing import Final

from spsd.accounts.argon2 import MEMORY_KIB, TIME_COST
from spsd.server import LINGER_S, SHUTDOWN_S
from spsd.slots.hooks import REBOOT_DELAY_S
from spsd.slots.integrity import CHECK_EVERY_S
from spsd.storage.database import LOCK_WAITS
from spsd.storage.inspection import BUSY_TIMEOUT_S
from spsd.system.loop_thread import LAG_EVERY_S
from spsd.system.served_certificate import CHECK_EVERY_S as CERTIFICATE_EVERY_S
from spsd.transfer.rules.messages import Windows
from spsd.transfer.rules.request import WINDOWS
from spsd.transfer.staging.partial_file import BLOCK, SYNC_WINDOW
from spsd.web.connections.connection import LOOK_EVERY_S
from spsd.web.limits import WebLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a daemon, an argument of :func:`spsd.daemon.open_daemon`. Times are in seconds."""

    sync_window_bytes: int = SYNC_WINDOW
    """The most bytes of a partial file that a power cut may destroy."""
    block_bytes: int = BLOCK
    """The bytes that are hashed and written at a time."""
    windows: Windows = WINDOWS
    """How many bytes are compared if no strong validator identifies the object."""
    least_progress_bytes: int = 0
    """An interrupted attempt that brings no more new bytes than these counts as no progress."""

    busy_s: float = BUSY_TIMEOUT_S
    """How long a statement waits for another program's lock on the database."""
    lock_waits: int = LOCK_WAITS
    """How often a job tries a statement that meets such a lock; a request tries once."""
    password_time_cost: int = TIME_COST
    password_memory_kib: int = MEMORY_KIB

    integrity_every_s: float = CHECK_EVERY_S
    lag_every_s: float = LAG_EVERY_S
    connections_every_s: float = LOOK_EVERY_S
    certificate_every_s: float = CERTIFICATE_EVERY_S
    reboot_delay_s: float = REBOOT_DELAY_S
    shutdown_s: float = SHUTDOWN_S
    linger_s: float = LINGER_S
    web: WebLimits = field(default_factory=WebLimits)


LIMITS: Final = Limits()
"""The limits of a daemon in production."""
