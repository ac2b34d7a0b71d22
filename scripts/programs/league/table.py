"""What became of each meeting, and the table of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scripts.programs.league.cases import SIZE, Case


class Outcome(StrEnum):
    """The end of a meeting of a tool with an act."""

    RIGHT = "right"
    AGAIN = "right after a retry"
    ERROR = "clear error"
    CORRUPT = "silent corruption"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool: its exit status (None: it did not end in time) and what it left."""

    status: int | None
    is_right: bool
    said: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A cell: the outcome, the bytes wasted where the object is right, what the tool said."""

    outcome: Outcome
    wasted: int = 0
    said: str = ""

    def cell(self) -> str:
        """As it is shown in the table."""
        match self.outcome:
            case Outcome.RIGHT | Outcome.AGAIN:
                return f"{self.outcome}{_amount(self.wasted)}"
            case Outcome.CORRUPT | Outcome.HANGS:
                return f"**{self.outcome}**"
            case Outcome.ERROR:
                return str(self.outcome)


def result(runs: Sequence[Run], *, kept: int, sent: int) -> Result:
    """What the runs of one command amount to; a run follows only on one that failed.

    ``kept`` bytes were on the disk at first, ``sent`` bytes left the origin since.
    """
    last = runs[-1]
    if last.status is None:
        return Result(Outcome.HANGS, said=last.said)
    if last.status != 0:
        return Result(Outcome.ERROR, said=last.said)
    if not last.is_right:
        return Result(Outcome.CORRUPT, said=last.said)
    outcome = Outcome.RIGHT if len(runs) == 1 else Outcome.AGAIN
    return Result(outcome, kept + sent - SIZE, last.said)


def table(cases: Sequence[Case], results: Mapping[str, Mapping[str, Result]]) -> str:
    """The Markdown table: a row for each case, a column for each tool, and the sums."""
    lines = [
        _row(["Act", "The origin", *results]),
        _row(["---"] * (2 + len(results))),
    ]
    for case in cases:
        cells = [by_case[case.name].cell() for by_case in results.values()]
        lines.append(_row([f"`{case.name}`", case.what, *cells]))
    for outcome in Outcome:
        counts = [_count(by_case, outcome) for by_case in results.values()]
        lines.append(_row([f"**{outcome}**", "how often", *map(str, counts)]))
    return "\n".join(lines)


def _count(by_case: Mapping[str, Result], outcome: Outcome) -> int:
    return sum(one.outcome is outcome for one in by_case.values())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _amount(wasted: int) -> str:
    if wasted == 0:
        return ""
    return f", {wasted / 2**20:+.1f} MiB" if abs(wasted) >= 50_000 else f", {wasted:+} bytes"
