"""Bring a database up to date: numbered SQL files, forward only.

Each file runs in one immediate transaction that also sets ``user_version``: a power cut leaves the
old version or the new one. (docs/decisions/0003-our-own-migrations.md says why no library is used.)
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from spsd.errors import StateError
from spsd.storage.faults import APPLICATION_ID, DatabaseFault, as_database_errors, fault_of
from spsd.storage.inspection import (
    BUSY_TIMEOUT_S,
    migrations_directory,
    require_own_database,
    scripts_in,
    statements_of,
)

_POLL_S = 0.01


def migrate(
    database: Path, directory: Path | None = None, *, busy_s: float = BUSY_TIMEOUT_S
) -> None:
    """Create the database or bring it to the newest version; it blocks, so call it off the loop.

    It waits ``busy_s`` for another program's lock.

    Raises:
        DatabaseError: it is damaged, locked, another program's, comes from a newer spsd, or
            cannot be read or written; it is untouched.
        StateError: a migration is at fault; it is as it was before that one.
    """
    scripts = scripts_in(directory or migrations_directory())
    require_own_database(database, scripts, busy_s=busy_s)
    try:
        with (
            as_database_errors(database),
            closing(sqlite3.connect(database, timeout=busy_s, isolation_level=None)) as connection,
        ):
            _use_log(connection, busy_s)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            for version in sorted(scripts):
                _apply(connection, version, scripts[version])
    except sqlite3.Error as error:
        raise StateError(f"{database}: the database cannot be used: {error}") from error


def _use_log(connection: sqlite3.Connection, busy_s: float) -> None:
    """Two that turn a new file to the log at once would deadlock, so SQLite lets neither wait."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if fault_of(error) is not DatabaseFault.LOCKED or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _apply(connection: sqlite3.Connection, version: int, script: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked inside the transaction: another process may have been faster.
        if _version(connection) < version:
            for statement in statements_of(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:  # a full disk may have ended it already
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
