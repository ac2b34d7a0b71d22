"""The report of a benchmark: tables and figures, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose cells are formatted."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown, with the columns after the first aligned to the right."""
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows))


@dataclass(frozen=True, slots=True)
class Part:
    """One subject of the report.

    ``figures`` are compared with the goals, by their names; ``samples`` has the single runs.
    """

    title: str
    tables: Sequence[Table]
    figures: Mapping[str, float]
    notes: Sequence[str] = ()
    samples: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """A section with the tables and the notes."""
        blocks = [table.markdown() for table in self.tables]
        return "\n\n".join([f"## {self.title}", *blocks, *self.notes])


def markdown(facts: Mapping[str, str], parts: Sequence[Part], goals: Table) -> str:
    """The whole report: the facts of the machine, the parts, and the goals."""
    facts_list = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    sections = [part.markdown() for part in parts]
    return "\n\n".join([facts_list, *sections, f"## Goals\n\n{goals.markdown()}"])


def document(
    facts: Mapping[str, str], parts: Sequence[Part], goals: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The whole report for JSON."""
    return {
        "facts": dict(facts),
        "parts": [asdict(part) for part in parts],
        "goals": [dict(goal) for goal in goals],
    }
