"""Decision tables: ordered rows, of which the first that holds decides.

A table is evaluated and printed from the same rows, so that the document cannot say anything else
than what the code does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Seen = TypeVar("Seen")
Verdict = TypeVar("Verdict")


@dataclass(frozen=True)
class Outcome(Generic[Seen, Verdict]):
    """What a row leads to: in words for the document, and as a value."""

    says: str
    of: Callable[[Seen], Verdict]


@dataclass(frozen=True)
class Row(Generic[Seen, Verdict]):
    """One line: its name, what is seen, what follows, and why."""

    name: str
    seen: str
    holds: Callable[[Seen], bool]
    outcome: Outcome[Seen, Verdict]
    why: str


@dataclass(frozen=True)
class Table(Generic[Seen, Verdict]):
    """Rows in the order in which they are asked; the last one holds for whatever is left."""

    rows: tuple[Row[Seen, Verdict], ...]

    def row(self, seen: Seen) -> Row[Seen, Verdict]:
        """The first row that holds."""
        return next(row for row in self.rows if row.holds(seen))

    def decide(self, seen: Seen) -> Verdict:
        """The verdict of the first row that holds."""
        return self.row(seen).outcome.of(seen)

    def markdown(self) -> str:
        """The rows as a Markdown table."""
        lines = ["| | Row | What is seen | Verdict | Why |", "|---|---|---|---|---|"]
        lines += [
            f"| {number} | `{row.name}` | {row.seen} | {row.outcome.says} | {row.why} |"
            for number, row in enumerate(self.rows, 1)
        ]
        return "\n".join(lines)
