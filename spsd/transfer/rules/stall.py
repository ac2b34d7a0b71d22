"""Whether a sender is too slow: the received bytes of a sliding window. Pure.

A read timeout alone never ends a drip-feed: one byte before each timeout prevents it. Here each
byte counts for ``window_s`` seconds, and the deadline is the moment at which the bytes that still
count would fall below the minimum if no more arrived.
"""

from collections import deque
from math import ceil

_BUCKETS_PER_WINDOW = 64


class RateMonitor:
    """The time until which the next bytes must arrive; times are any monotonic seconds.

    ``minimum_bytes_per_s`` is the lowest rate, averaged over ``window_s`` seconds.
    """

    def __init__(self, *, minimum_bytes_per_s: int, window_s: float, now: float) -> None:
        self._needed = max(1, ceil(minimum_bytes_per_s * window_s))
        self._window_s = window_s
        # A new connection starts with one window of credit: the first byte may take that long.
        self._counting = deque([(now, self._needed)])
        self._sum = self._needed

    def count(self, size: int, now: float) -> None:
        """Count ``size`` bytes that arrived at ``now``.

        Bytes without which the minimum is still reached are dropped, oldest first. So the oldest
        ones left are those after whose expiry the minimum is missed.
        """
        since, before = self._counting[-1]
        if len(self._counting) > 1 and now - since < self._window_s / _BUCKETS_PER_WINDOW:
            self._counting[-1] = (since, before + size)
        else:
            self._counting.append((now, size))
        self._sum += size
        while self._sum - self._counting[0][1] >= self._needed:
            self._sum -= self._counting.popleft()[1]

    def exclude_time(self, seconds: float) -> None:
        """Extend the window by ``seconds`` in which nothing was read, for our own reasons."""
        self._counting = deque((since + seconds, size) for since, size in self._counting)

    @property
    def deadline(self) -> float:
        """The time at which the sender is too slow, if no byte arrives until then."""
        return self._counting[0][0] + self._window_s
