"""How many bytes have come lately."""

from collections import deque

WINDOW_S = 10.0
"""What counts as lately."""

_BUCKETS = 40


class Throughput:
    """A sum of all bytes, and their rate over the last seconds; times are any monotonic seconds."""

    def __init__(self, *, now: float) -> None:
        self.total = 0
        self._began = now
        self._lately: deque[tuple[float, int]] = deque()

    def count(self, size: int, now: float) -> None:
        """``size`` bytes have come."""
        self.total += size
        if self._lately and now - self._lately[-1][0] < WINDOW_S / _BUCKETS:
            since, before = self._lately[-1]
            self._lately[-1] = (since, before + size)
        else:
            self._lately.append((now, size))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Bytes a second; over the whole life while that is shorter than the window."""
        self._forget(now)
        over = min(WINDOW_S, now - self._began)
        return sum(size for _, size in self._lately) / over if over > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._lately and now - self._lately[0][0] > WINDOW_S:
            self._lately.popleft()
