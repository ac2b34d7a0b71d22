"""Is an origin too slow? A watch over a sliding window.

A read timeout alone never ends a drip-feed: one byte before each deadline keeps it alive. Here
each byte counts for ``window_s`` seconds, and the deadline is the moment at which the bytes that
still count would fall below the minimum if nothing more came.
"""

from collections import deque
from math import ceil

_BUCKET_S = 0.5


class RateWatch:
    """Tells until when an origin may stay silent; times are any monotonic seconds."""

    def __init__(self, *, minimum_bytes_per_s: int, window_s: float, now: float) -> None:
        self._needed = max(1, ceil(minimum_bytes_per_s * window_s))
        self._window_s = window_s
        self._start = now
        self._recent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def count(self, size: int, now: float) -> None:
        """``size`` bytes have come at ``now``."""
        if self._recent and now - self._recent[-1][0] < _BUCKET_S:
            since, before = self._recent.pop()
            self._recent.append((since, before + size))
        else:
            self._recent.append((now, size))
        self._sum += size
        while self._sum - self._recent[0][1] >= self._needed:
            self._sum -= self._recent.popleft()[1]

    def excuse(self, seconds: float) -> None:
        """Time that was ours, not the origin's: nothing was read meanwhile."""
        self._start += seconds
        self._recent = deque((since + seconds, size) for since, size in self._recent)

    @property
    def deadline(self) -> float:
        """When the origin is too slow, if no byte comes until then.

        ``count`` drops what the minimum is reached without, so the oldest bytes left are the ones
        whose leaving breaks it.
        """
        if self._sum < self._needed:
            return self._start + self._window_s if not self._broken else self._last_start
        return self._recent[0][0] + self._window_s
