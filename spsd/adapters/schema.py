"""The numbered files that make the database what it is, and what each of them leads to."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from spsd.errors import StateError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OBJECTS = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"


def migrations_directory() -> Path:
    """Inside an installed package, or at the top of a checkout."""
    packaged = Path(str(files("spsd"))) / "migrations"
    return packaged if packaged.is_dir() else Path(str(files("spsd"))).parent / "migrations"


def scripts_in(directory: Path) -> dict[int, Path]:
    """The files by version.

    Raises:
        StateError: a number is missing.
    """
    found = {int(m[1]): path for path in directory.iterdir() if (m := _NAME.fullmatch(path.name))}
    if sorted(found) != list(range(1, len(found) + 1)):
        raise StateError(f"{directory}: the migrations are not numbered 1, 2, 3 …")
    return found


def statements_of(script: Path) -> Iterator[str]:
    """Split at the semicolons that end statements; a trigger's body has others."""
    pending = ""
    for line in script.read_text(encoding="utf-8").splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def objects_of(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of its tables, indexes and triggers."""
    return frozenset(name for (name,) in connection.execute(_OBJECTS))


def expected_objects(scripts: Mapping[int, Path], version: int) -> frozenset[str]:
    """The names that a database of that version has."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for number in sorted(scripts):
            if number <= version:
                for statement in statements_of(scripts[number]):
                    connection.execute(statement)
        return objects_of(connection)
