"""An examination of the database that changes nothing, made before anything writes to it.

A connection that may write does so by opening: SQLite turns a file to the write-ahead log, and
empties the log at the end. So the file is opened read-only, and :func:`judge_database` decides
whether the daemon may work with it.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from spsd.errors import StateError
from spsd.storage.faults import APPLICATION_ID, DatabaseError, DatabaseFault, as_database_errors
from spsd.storage.layout import reserve_of


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a database file that could be opened.

    ``used`` tells whether something beside it proves that it once held rows; ``objects`` are the
    names in its schema, ``expected`` those that its version has; ``damage`` is what
    ``PRAGMA quick_check`` reports.
    """

    application_id: int
    version: int
    newest: int
    objects: frozenset[str]
    expected: frozenset[str]
    damage: tuple[str, ...]
    used: bool


def judge_database(found: Inspection) -> tuple[DatabaseFault, str] | None:
    """Why the daemon must not work with it: the code and the evidence; None: it may."""
    if found.application_id not in {0, APPLICATION_ID}:
        return DatabaseFault.FOREIGN, (
            f"it is another program's: its application_id is {found.application_id:#x}, "
            f"and not {APPLICATION_ID:#x} or 0"
        )
    if found.version > found.newest:
        return DatabaseFault.FUTURE, (
            f"the database has version {found.version}, but this spsd knows {found.newest} at most"
        )
    if found.damage:
        more = f" and {len(found.damage) - 1} more" if len(found.damage) > 1 else ""
        return DatabaseFault.CORRUPT, f"SQLite's quick_check says: {found.damage[0]}{more}"
    if found.version < 1 and found.objects:
        return DatabaseFault.FOREIGN, (
            f"it has no version of ours, but holds {', '.join(sorted(found.objects)[:3])}"
        )
    if found.version < 1 and found.used:
        return (
            DatabaseFault.CORRUPT,
            "it is empty, although the files beside it show that it was in use",
        )
    if missing := sorted(found.expected - found.objects):
        return (
            DatabaseFault.CORRUPT,
            f"it lacks {', '.join(missing[:3])} of version {found.version}",
        )
    return None


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


BUSY_TIMEOUT_S = 5.0
_MOST_LINES = 20


def require_own_database(
    database: Path, scripts: Mapping[int, Path], *, busy_s: float = BUSY_TIMEOUT_S
) -> None:
    """Refuse a file that the daemon must not work with; one that is not there is fine.

    Raises:
        DatabaseError: it is damaged, locked, another program's, or from the future.
    """
    if not database.exists():
        return
    with reading(database, timeout_s=busy_s) as connection:
        wrong = judge_database(inspect_database(connection, database, scripts))
    if wrong is not None:
        raise DatabaseError(wrong[0], str(database), wrong[1])


def inspect_database(
    connection: sqlite3.Connection, database: Path, scripts: Mapping[int, Path]
) -> Inspection:
    """Look at the whole file, within one transaction of :func:`reading`."""
    # Asked first: whoever brings the file up meanwhile lays the reserve by afterwards.
    used = reserve_of(database).exists()
    version = _pragma(connection, "user_version")
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_MOST_LINES})")]
    # A row may have many lines, the first of them a heading.
    lines = (line for row in rows for line in row.splitlines())
    damage = tuple(line for line in lines if line and not line.startswith("***"))
    return Inspection(
        application_id=_pragma(connection, "application_id"),
        version=version,
        newest=max(scripts),
        objects=objects_of(connection),
        expected=expected_objects(scripts, version),
        damage=() if damage == ("ok",) else damage,
        used=used,
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def reading(database: Path, *, timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, and sees one moment: others may write meanwhile.

    A transaction that a power cut has left half in the file is rolled back first, by SQLite:
    without that nobody can read it, and a connection that may not write is refused.

    Raises:
        DatabaseError: the file cannot be read.
    """
    name = f"file:{quote(str(database))}?mode={'rw' if _cut_short(database) else 'ro'}"
    if _frozen(database):
        name += "&immutable=1"
    with (
        as_database_errors(database),
        closing(sqlite3.connect(name, uri=True, timeout=timeout_s, isolation_level=None)) as opened,
    ):
        opened.execute("BEGIN")
        yield opened


def _cut_short(database: Path) -> bool:
    """The rollback journal is from before the write-ahead log: of a first start."""
    return _holds_something(database.with_name(f"{database.name}-journal"))


def _frozen(database: Path) -> bool:
    """On a read-only file system SQLite cannot make its lock file; without a log none is needed."""
    wal = database.with_name(f"{database.name}-wal")
    read_only = os.statvfs(database.parent).f_flag & os.ST_RDONLY
    return bool(read_only) and not (_holds_something(wal) or _cut_short(database))


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
