"""Decision tables: ordered rows, of which the first whose condition holds decides.

A table is evaluated and printed from the same rows, so that the documentation cannot differ from
the code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Facts = TypeVar("Facts")
Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Outcome(Generic[Facts, Decision]):
    """What a row decides: as text for the documentation, and as a value computed from the facts."""

    text: str
    decide: Callable[[Facts], Decision]


@dataclass(frozen=True)
class Row(Generic[Facts, Decision]):
    """One row: its name, its condition as text and as a predicate, its outcome, and the reason."""

    name: str
    condition: str
    holds: Callable[[Facts], bool]
    outcome: Outcome[Facts, Decision]
    why: str


@dataclass(frozen=True)
class Table(Generic[Facts, Decision]):
    """Rows in the order of their evaluation; the last one must hold for all remaining facts."""

    rows: tuple[Row[Facts, Decision], ...]

    def row(self, facts: Facts) -> Row[Facts, Decision]:
        """The first row whose condition holds."""
        return next(row for row in self.rows if row.holds(facts))

    def decide(self, facts: Facts) -> Decision:
        """The decision of the first row whose condition holds."""
        return self.row(facts).outcome.decide(facts)

    def markdown(self) -> str:
        """The rows as a Markdown table."""
        lines = ["| | Row | Condition | Decision | Why |", "|---|---|---|---|---|"]
        lines += [
            f"| {number} | `{row.name}` | {row.condition} | {row.outcome.text} | {row.why} |"
            for number, row in enumerate(self.rows, 1)
        ]
        return "\n".join(lines)
