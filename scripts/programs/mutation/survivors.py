"""The mutants that may survive, each with a reason: docs/mutation.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[3] / "docs" / "mutation.toml"


@dataclass(frozen=True, slots=True)
class Group:
    """Mutants that survive for the same reason, by their keys."""

    why: str
    mutants: tuple[str, ...]


def groups(path: Path = FILE) -> Sequence[Group]:
    """The groups, in the order of the file."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Group(group["why"], tuple(group["mutants"])) for group in document.get("group", [])]


def reasons(path: Path = FILE) -> Mapping[str, str]:
    """The reason why a mutant may survive, by the mutant's key."""
    return {key: group.why for group in groups(path) for key in group.mutants}


def markdown() -> str:
    """The groups as a Markdown list, for docs/mutation.md."""
    lines = []
    for group in groups():
        lines += [f"- {group.why}"]
        lines += [f"  - `{key.removeprefix('spsd/')}`" for key in group.mutants]
    return "\n".join(lines)
