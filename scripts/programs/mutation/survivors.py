"""Mutants that may live, each with the reason: docs/mutation.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[3] / "docs" / "mutation.toml"


@dataclass(frozen=True, slots=True)
class Group:
    """Mutants that live for the same reason."""

    why: str
    mutants: tuple[str, ...]


def groups(path: Path = FILE) -> Sequence[Group]:
    """In the order of the file."""
    read = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Group(one["why"], tuple(one["mutants"])) for one in read.get("group", [])]


def reasons(path: Path = FILE) -> Mapping[str, str]:
    """Why a mutant may live, by its key."""
    return {key: group.why for group in groups(path) for key in group.mutants}


def markdown() -> str:
    """The groups as a Markdown list, for docs/mutation.md."""
    lines = []
    for group in groups():
        lines += [f"- {group.why}"]
        lines += [f"  - `{key.removeprefix('spsd/')}`" for key in group.mutants]
    return "\n".join(lines)
