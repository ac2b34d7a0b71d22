"""The clocks of a daemon: time of day, and monotonic time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

Now = Callable[[], int]
"""Whole seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Clock:
    """``now``: whole seconds since the epoch, UTC; ``monotonic``: seconds that never go back."""

    now: Now
    monotonic: Callable[[], float]


def loop_time() -> float:
    """Monotonic seconds of the running event loop, in which its timeouts are measured."""
    return asyncio.get_running_loop().time()
