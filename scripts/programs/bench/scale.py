"""How much is measured."""

from dataclasses import dataclass, replace
from typing import Final

from scripts.programs.bench.measuring import GB


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes in bytes, times in seconds, rates in bytes a second."""

    size: int = 1_500_000_000
    """Of the object of the tables; of all objects together where there are several."""
    rounds: int = 5
    wan_size: int = 64_000_000
    wan_rate: int = 8_000_000
    wan_delay_s: float = 0.02
    """One way; a round trip is twice that."""
    at_once: tuple[int, ...] = (1, 4, 16, 64)
    records: int = 10_000
    requests: int = 500
    """Of the API, for each figure of its latency."""
    posts: int = 2_000
    readers: int = 200
    """Of events, beside so many downloads:"""
    read_jobs: int = 20
    idle_s: float = 10
    partial: int = GB

    def with_(self, *, size: int | None, rounds: int | None) -> "Scale":
        """The same with others, where they are given; a partial is never the whole object."""
        given = self.size if size is None else size
        return replace(
            self,
            size=given,
            rounds=self.rounds if rounds is None else rounds,
            partial=min(self.partial, given * 2 // 3),
        )

    @property
    def few_rounds(self) -> int:
        """For what is paced, or long in itself."""
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
    readers=5,
    read_jobs=2,
    idle_s=0.5,
    partial=4_000_000,
)
"""Shows that everything works; its figures say nothing."""
