"""How often values fell below some bounds, as Prometheus counts them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observed:
    """``counts`` has one more than ``bounds``: what was above all of them. Not cumulative."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


class Histogram:
    """Counts values; a bound belongs to the values below it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` ascend."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one; a clock that was set back makes it 0."""
        value = max(0.0, value)
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observed(self) -> Observed:
        """What was counted up to now."""
        return Observed(self._bounds, tuple(self._counts), self._sum)
