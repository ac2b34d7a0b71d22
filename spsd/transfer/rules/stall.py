"""Is an origin too slow? A watch over a sliding window.

A read timeout alone never ends a drip-feed: one byte before each deadline keeps it alive. Here
each byte counts for ``window_s`` seconds, and the deadline is the moment at which the bytes that
still count would fall below the minimum if nothing more came.
"""

from collections import deque
from math import ceil

_BUCKETS_PER_WINDOW = 64


class RateWatch:
    """Tells until when an origin may stay silent; times are any monotonic seconds."""

    def __init__(self, *, minimum_bytes_per_s: int, window_s: float, now: float) -> None:
        self._needed = max(1, ceil(minimum_bytes_per_s * window_s))
        self._window_s = window_s
        # A new connection starts with one window of credit.
        self._counting = deque([(now, self._needed)])
        self._sum = self._needed

    def count(self, size: int, now: float) -> None:
        """``size`` bytes have come at ``now``."""
        since, before = self._counting[-1]
        if len(self._counting) > 1 and now - since < self._window_s / _BUCKETS_PER_WINDOW:
            self._counting[-1] = (since, before + size)
        else:
            self._counting.append((now, size))
        self._sum += size
        while self._sum - self._counting[0][1] >= self._needed:
            self._sum -= self._counting.popleft()[1]

    def exclude_time(self, seconds: float) -> None:
        """Time that was ours, not the origin's: nothing was read meanwhile."""
        self._counting = deque((since + seconds, size) for since, size in self._counting)

    @property
    def deadline(self) -> float:
        """When the origin is too slow, if no byte comes until then.

        ``count`` drops what the minimum is reached without, so the oldest bytes that are left
        are those whose leaving breaks it.
        """
        return self._counting[0][0] + self._window_s
