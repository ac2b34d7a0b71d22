"""The clocks that a daemon is given: the time of day, and monotonic seconds."""

from collections.abc import Callable
from dataclasses import dataclass

Now = Callable[[], int]
"""Whole seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Clock:
    """``now``: whole seconds since the epoch, UTC; ``monotonic``: seconds, never set back."""

    now: Now
    monotonic: Callable[[], float]
