"""The clocks of a daemon: time of day, and monotonic time."""

from collections.abc import Callable
from dataclasses import dataclass

Now = Callable[[], int]
"""Whole seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Clock:
    """``now``: whole seconds since the epoch, UTC; ``monotonic``: seconds that never go back."""

    now: Now
    monotonic: Callable[[], float]
