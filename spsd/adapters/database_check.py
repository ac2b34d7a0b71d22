"""A look at the database that changes nothing, before anybody writes to it.

A connection that may write does so by opening: SQLite turns a file to the write-ahead log, and
empties the log at the end.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from spsd.adapters.database_errors import as_database_errors
from spsd.adapters.reserve import reserve_of
from spsd.adapters.schema import expected_objects, objects_of
from spsd.domain.database import DatabaseError, Examined, judge_database

BUSY_TIMEOUT_S = 5.0
_MOST_LINES = 20


def must_be_ours(
    database: Path, scripts: Mapping[int, Path], *, busy_s: float = BUSY_TIMEOUT_S
) -> None:
    """Refuse a file that the daemon must not work with; one that is not there is fine.

    Raises:
        DatabaseError: it is damaged, locked, another program's, or from the future.
    """
    if not database.exists():
        return
    with reading(database, timeout_s=busy_s) as connection:
        wrong = judge_database(examined(connection, database, scripts))
    if wrong is not None:
        raise DatabaseError(wrong[0], str(database), wrong[1])


def examined(
    connection: sqlite3.Connection, database: Path, scripts: Mapping[int, Path]
) -> Examined:
    """Look at the whole file, within one transaction of :func:`reading`."""
    # Asked first: whoever brings the file up meanwhile lays the reserve by afterwards.
    used = reserve_of(database).exists()
    version = _pragma(connection, "user_version")
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_MOST_LINES})")]
    # A row may have many lines, the first of them a heading.
    lines = (line for row in rows for line in row.splitlines())
    damage = tuple(line for line in lines if line and not line.startswith("***"))
    return Examined(
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
