"""The sizes, rates and numbers of a benchmark run."""

from dataclasses import dataclass, replace
from typing import Final

from scripts.programs.bench.samples import GB


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes in bytes, times in seconds, rates in bytes a second."""

    size: int = 1_500_000_000
    """Size of the object; where a part has several objects, of all of them together."""
    rounds: int = 5
    wan_size: int = 64_000_000
    wan_rate: int = 8_000_000
    wan_delay_s: float = 0.02
    """Delay in one direction; a round trip takes twice as long."""
    at_once: tuple[int, ...] = (1, 4, 16, 64)
    records: int = 10_000
    requests: int = 500
    """Number of API requests for each figure of its latency."""
    posts: int = 2_000
    subscribers: int = 200
    subscribed_jobs: int = 20
    """Number of downloads that the subscribers get events of."""
    idle_s: float = 10
    partial: int = GB

    def with_(self, *, size: int | None, rounds: int | None) -> "Scale":
        """A copy with another size or number of rounds, where not None.

        The partial download is at most two thirds of the object.
        """
        new_size = self.size if size is None else size
        return replace(
            self,
            size=new_size,
            rounds=self.rounds if rounds is None else rounds,
            partial=min(self.partial, new_size * 2 // 3),
        )

    @property
    def few_rounds(self) -> int:
        """The number of rounds of parts that take long."""
        return min(self.rounds, 3)


WHOLE: Final = Scale()
QUICK: Final = Scale(
    size=8_000_000,
    rounds=1,
    wan_size=2_000_000,
    wan_rate=2_000_000,
    at_once=(1, 4),
    records=200,
    requests=40,
    posts=64,
    subscribers=5,
    subscribed_jobs=2,
    idle_s=0.5,
    partial=4_000_000,
)
"""A check that everything works; its figures are not meaningful."""
