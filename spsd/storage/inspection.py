"""A read-only inspection of the database, made before the daemon writes to it.

A connection that may write changes the file by opening and closing it: SQLite switches the file to
the write-ahead log, and empties the log when the connection is closed. So the file is opened
read-only first, and :func:`judge_database` decides whether the daemon may work with it.
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
from spsd.storage.layout import reserve_path


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts about a database file that could be opened.

    ``version`` is the file's schema version, ``newest`` the newest that this spsd knows.
    ``objects`` are the names in the file's schema, ``expected`` those that its version requires.
    ``damage`` holds the lines of ``PRAGMA quick_check``; empty: no damage. ``used`` is true if a
    reserve file beside the database shows that it once had rows.
    """

    application_id: int
    version: int
    newest: int
    objects: frozenset[str]
    expected: frozenset[str]
    damage: tuple[str, ...]
    used: bool


def judge_database(inspection: Inspection) -> tuple[DatabaseFault, str] | None:
    """Why the daemon must not use the file: the code and the evidence. None: it may use it."""
    if inspection.application_id not in {0, APPLICATION_ID}:
        return DatabaseFault.FOREIGN, (
            f"it belongs to another program: its application_id is {inspection.application_id:#x}, "
            f"not {APPLICATION_ID:#x} or 0"
        )
    if inspection.version > inspection.newest:
        return DatabaseFault.FUTURE, (
            f"the database has version {inspection.version}, but this spsd knows no version above "
            f"{inspection.newest}"
        )
    if inspection.damage:
        more = f" and {len(inspection.damage) - 1} more" if len(inspection.damage) > 1 else ""
        return DatabaseFault.CORRUPT, f"SQLite's quick_check reports: {inspection.damage[0]}{more}"
    if inspection.version < 1 and inspection.objects:
        return DatabaseFault.FOREIGN, (
            f"it has no spsd schema version, but holds {', '.join(sorted(inspection.objects)[:3])}"
        )
    if inspection.version < 1 and inspection.used:
        return (
            DatabaseFault.CORRUPT,
            "it is empty, although the reserve file beside it shows that it had rows",
        )
    if missing := sorted(inspection.expected - inspection.objects):
        return (
            DatabaseFault.CORRUPT,
            f"it lacks {', '.join(missing[:3])}, which version {inspection.version} requires",
        )
    return None


_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OBJECTS = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"


def migrations_directory() -> Path:
    """The SQL files: inside an installed package, or at the top of a source checkout."""
    packaged = Path(str(files("spsd"))) / "migrations"
    return packaged if packaged.is_dir() else Path(str(files("spsd"))).parent / "migrations"


def migration_scripts(directory: Path) -> dict[int, Path]:
    """The SQL files by schema version, from ``0001_<name>.sql`` on.

    Raises:
        StateError: a number is missing.
    """
    scripts = {int(m[1]): path for path in directory.iterdir() if (m := _NAME.fullmatch(path.name))}
    if sorted(scripts) != list(range(1, len(scripts) + 1)):
        raise StateError(f"{directory}: the migrations are not numbered 1, 2, 3 …")
    return scripts


def split_statements(script: Path) -> Iterator[str]:
    """The statements of a script. A semicolon inside a trigger's body does not end one."""
    pending = ""
    for line in script.read_text(encoding="utf-8").splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def schema_names(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of the tables, indexes and triggers."""
    return frozenset(name for (name,) in connection.execute(_OBJECTS))


def expected_objects(scripts: Mapping[int, Path], version: int) -> frozenset[str]:
    """The names in the schema of a database of ``version``."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for number in sorted(scripts):
            if number <= version:
                for statement in split_statements(scripts[number]):
                    connection.execute(statement)
        return schema_names(connection)


BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for another program's lock."""
_DAMAGE_ROWS = 20


def require_usable_database(
    database: Path, scripts: Mapping[int, Path], *, busy_s: float = BUSY_TIMEOUT_S
) -> None:
    """Check that the daemon may use the file. A file that does not exist is accepted.

    Raises:
        DatabaseError: the file is damaged, locked, belongs to another program, or was written by
            a newer spsd.
    """
    if not database.exists():
        return
    with open_read_only(database, timeout_s=busy_s) as connection:
        fault = judge_database(inspect_database(connection, database, scripts))
    if fault is not None:
        raise DatabaseError(fault[0], str(database), fault[1])


def inspect_database(
    connection: sqlite3.Connection, database: Path, scripts: Mapping[int, Path]
) -> Inspection:
    """Inspect the whole file, within the transaction of :func:`open_read_only`."""
    # Read before the schema: a process that migrates the file meanwhile creates the reserve after
    # the schema, and an empty schema beside a reserve would look like damage.
    used = reserve_path(database).exists()
    version = _pragma(connection, "user_version")
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_DAMAGE_ROWS})")]
    # A row may have several lines, of which the first is a heading.
    lines = (line for row in rows for line in row.splitlines())
    damage = tuple(line for line in lines if line and not line.startswith("***"))
    return Inspection(
        application_id=_pragma(connection, "application_id"),
        version=version,
        newest=max(scripts),
        objects=schema_names(connection),
        expected=expected_objects(scripts, version),
        damage=() if damage == ("ok",) else damage,
        used=used,
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def open_read_only(
    database: Path, *, timeout_s: float = BUSY_TIMEOUT_S
) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, in one transaction: it sees the file at one moment.

    Other connections may write meanwhile. If a power cut has interrupted a transaction before the
    write-ahead log was in use, SQLite rolls that transaction back first. This needs write access,
    and without it the file cannot be read.

    Raises:
        DatabaseError: the file cannot be read.
    """
    uri = f"file:{quote(str(database))}?mode={'rw' if _has_rollback_journal(database) else 'ro'}"
    if _is_immutable(database):
        uri += "&immutable=1"
    with (
        as_database_errors(database),
        closing(
            sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
        ) as connection,
    ):
        connection.execute("BEGIN")
        yield connection


def _has_rollback_journal(database: Path) -> bool:
    """Whether the first start was interrupted, before the file was switched to the log."""
    return _is_not_empty(database.with_name(f"{database.name}-journal"))


def _is_immutable(database: Path) -> bool:
    """Whether SQLite has to read the file without locks.

    On a read-only file system it cannot create its lock file. It needs none if there is no log.
    """
    wal = database.with_name(f"{database.name}-wal")
    read_only = os.statvfs(database.parent).f_flag & os.ST_RDONLY
    return bool(read_only) and not (_is_not_empty(wal) or _has_rollback_journal(database))


def _is_not_empty(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
