"""The performance goals of spsd as data, and the verdict on a measured figure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from scripts.programs.bench.report import Table


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of the report and its limit; ``sense`` is the side of the limit that is good."""

    measure: str
    figure: str
    sense: Literal["≤", "≥"]
    limit: float
    unit: str = ""

    def met(self, value: float) -> bool:
        match self.sense:
            case "≤":
                return value <= self.limit
            case "≥":
                return value >= self.limit


GOALS: Final = (
    Goal("wall against curl + sha256sum", "http wall/curl+sha256sum", "≤", 0.30),
    Goal("wall against the fastest peer", "http wall/fastest", "≤", 0.70),
    Goal("wall against the floor", "http wall/floor", "≤", 1.15),
    Goal("CPU seconds against curl + sha256sum", "http cpu/curl+sha256sum", "≤", 0.40),
    Goal("CPU seconds against the floor", "http cpu/floor", "≤", 1.5),
    Goal("peak memory of one download", "http peak", "≤", 110, " MiB"),
    Goal("https: wall against curl + sha256sum", "https wall/curl+sha256sum", "≤", 0.45),
    Goal("WAN: rate of 4 connections against 1", "wan rate 4/1", "≥", 3.5),
    Goal("WAN: wall of 4 connections against aria2c -x4", "wan wall/aria2c-x4", "≤", 1.0),
    Goal("total rate of the most jobs at once against 1", "concurrency rate most/1", "≥", 0.9),
    Goal("memory growth for each running job", "concurrency growth", "≤", 6, " MiB"),
    Goal("API: p99 during 4 downloads against idle", "api p99 busy/idle", "≤", 5),
    Goal("API: p99 during 4 downloads", "api p99 busy", "≤", 25, " ms"),
    Goal("durable POSTs per second, 32 clients against 1", "api posts 32/1", "≥", 5),
    Goal("list: growth of time against growth of bytes", "api list time/bytes", "≤", 1.0),
    Goal("idle CPU with many records", "api idle cpu", "≤", 0.1, " %"),
    Goal("downloads with 200 event subscribers against none", "events rate", "≥", 0.9),
    Goal("start to ready with many records and a partial", "api start", "≤", 1.0, " s"),
)


def table(figures: Mapping[str, float]) -> Table:
    """Each goal with the measured figure and the verdict."""
    rows = [
        (goal.measure, f"{goal.sense} {goal.limit:g}{goal.unit}", *_cells(goal, figures))
        for goal in GOALS
    ]
    return Table(("Measure", "Goal", "Measured", "Verdict"), rows)


def verdicts(figures: Mapping[str, float]) -> Sequence[Mapping[str, Any]]:
    """The goals for JSON; ``measured`` and ``met`` are None for a figure that was not measured."""
    return [
        {
            **asdict(goal),
            "measured": (value := figures.get(goal.figure)),
            "met": None if value is None else goal.met(value),
        }
        for goal in GOALS
    ]


def _cells(goal: Goal, figures: Mapping[str, float]) -> tuple[str, str]:
    value = figures.get(goal.figure)
    if value is None:
        return "", "not measured in this run"
    return f"{value:.3g}{goal.unit}", verdict(goal, value)


def verdict(goal: Goal, value: float) -> str:
    """``met``, or in Markdown by what share of the limit it is missed: ``**missed by 20%**``."""
    if goal.met(value):
        return "met"
    return f"**missed by {abs(value - goal.limit) / goal.limit:.0%}**"
