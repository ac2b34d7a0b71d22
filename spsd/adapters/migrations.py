"""Bring a database up to date: numbered files, forward only.

Each file runs in one immediate transaction that also sets ``user_version``: a power cut leaves
the old version or the new one. (docs/decisions/0003-our-own-migrations.md says why no library.)
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from spsd.domain.errors import StateError

BUSY_TIMEOUT_S = 5.0
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def migrations_directory() -> Path:
    """Inside an installed package, or at the top of a checkout."""
    packaged = Path(str(files("spsd"))) / "migrations"
    return packaged if packaged.is_dir() else Path(str(files("spsd"))).parent / "migrations"


def migrate(database: Path, directory: Path | None = None) -> None:
    """Create the database or bring it to the newest version; it blocks, so call it off the loop.

    Raises:
        StateError: it comes from a newer spsd, or cannot be read or written; it is untouched.
    """
    scripts = _scripts(directory or migrations_directory())
    try:
        with closing(
            sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            _refuse_future(connection, database, newest=max(scripts))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            for version in sorted(scripts):
                _apply(connection, version, scripts[version].read_text(encoding="utf-8"))
    except sqlite3.Error as error:
        raise StateError(f"{database}: the database cannot be used: {error}") from error


def _scripts(directory: Path) -> dict[int, Path]:
    found = {int(m[1]): path for path in directory.iterdir() if (m := _NAME.fullmatch(path.name))}
    if sorted(found) != list(range(1, len(found) + 1)):
        raise StateError(f"{directory}: the migrations are not numbered 1, 2, 3 …")
    return found


def _refuse_future(connection: sqlite3.Connection, database: Path, *, newest: int) -> None:
    version = _version(connection)
    if version > newest:
        raise StateError(
            f"{database}: the database has version {version}, but this spsd knows {newest} at "
            "most; install the newer spsd again or restore a backup"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked inside the transaction: another process may have been faster.
        if _version(connection) < version:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end statements; a trigger's body has others."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending
