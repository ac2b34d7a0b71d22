"""The outcomes of tools with cases, and their table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scripts.programs.league.cases import SIZE, Case


class Outcome(StrEnum):
    """How a tool ends with a case."""

    RIGHT = "right"
    AGAIN = "right after a retry"
    ERROR = "clear error"
    CORRUPT = "silent corruption"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool: its exit status (None: not over in time) and whether its file is right.

    ``message`` is the last line of its output.
    """

    status: int | None
    is_right: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a tool with a case, the wasted bytes if it is right, and the last message."""

    outcome: Outcome
    wasted: int = 0
    message: str = ""

    def cell(self) -> str:
        """The cell of the table."""
        match self.outcome:
            case Outcome.RIGHT | Outcome.AGAIN:
                return f"{self.outcome}{_amount(self.wasted)}"
            case Outcome.CORRUPT | Outcome.HANGS:
                return f"**{self.outcome}**"
            case Outcome.ERROR:
                return str(self.outcome)


def result_of(runs: Sequence[Run], *, kept: int, sent: int) -> Result:
    """The result of one or two runs of a command; there are two if the first one failed.

    ``kept`` bytes were on the disk at first, ``sent`` bytes have left the origin since.
    """
    last = runs[-1]
    if last.status is None:
        return Result(Outcome.HANGS, message=last.message)
    if last.status != 0:
        return Result(Outcome.ERROR, message=last.message)
    if not last.is_right:
        return Result(Outcome.CORRUPT, message=last.message)
    outcome = Outcome.RIGHT if len(runs) == 1 else Outcome.AGAIN
    return Result(outcome, kept + sent - SIZE, last.message)


def table(cases: Sequence[Case], results: Mapping[str, Mapping[str, Result]]) -> str:
    """The Markdown table: a row for each case, a column for each tool, and the sums."""
    lines = [
        _row(["Act", "The origin", *results]),
        _row(["---"] * (2 + len(results))),
    ]
    for case in cases:
        cells = [by_case[case.name].cell() for by_case in results.values()]
        lines.append(_row([f"`{case.name}`", case.description, *cells]))
    for outcome in Outcome:
        counts = [_count(by_case, outcome) for by_case in results.values()]
        lines.append(_row([f"**{outcome}**", "how often", *map(str, counts)]))
    return "\n".join(lines)


def _count(by_case: Mapping[str, Result], outcome: Outcome) -> int:
    return sum(result.outcome is outcome for result in by_case.values())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _amount(wasted: int) -> str:
    if wasted == 0:
        return ""
    return f", {wasted / 2**20:+.1f} MiB" if abs(wasted) >= 50_000 else f", {wasted:+} bytes"
