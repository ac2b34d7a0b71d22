"""What a part of the benchmark found, and how it is shown: as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells that are ready to be shown."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows))


@dataclass(frozen=True, slots=True)
class Part:
    """One subject. ``figures`` are what goals are compared with; ``samples`` every single run."""

    title: str
    tables: Sequence[Table]
    figures: Mapping[str, float]
    notes: Sequence[str] = ()
    samples: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        blocks = [table.markdown() for table in self.tables]
        return "\n\n".join([f"## {self.title}", *blocks, *self.notes])


def markdown(facts: Mapping[str, str], parts: Sequence[Part], goals: Table) -> str:
    """The whole report: the machine, the parts, and at last the goals."""
    told = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    found = [part.markdown() for part in parts]
    return "\n\n".join([told, *found, f"## Goals\n\n{goals.markdown()}"])


def document(
    facts: Mapping[str, str], parts: Sequence[Part], goals: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "facts": dict(facts),
        "parts": [asdict(part) for part in parts],
        "goals": [dict(goal) for goal in goals],
    }
