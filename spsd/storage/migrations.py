"""Migrations: numbered SQL files bring the database to the newest schema version, forward only.

Each file runs in one immediate transaction that also sets ``user_version``, so that a power cut
leaves either the old or the new version. docs/decisions/0003-our-own-migrations.md explains why no
library is used.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from spsd.errors import StateError
from spsd.storage.faults import APPLICATION_ID, DatabaseFault, as_database_errors, fault_of
from spsd.storage.inspection import (
    BUSY_TIMEOUT_S,
    migration_scripts,
    migrations_directory,
    open_read_only,
    require_usable_database,
    split_statements,
)
from spsd.storage.layout import InUseError, StateDirectory

_POLL_S = 0.01
_LOCK_POLL_S = 0.05
DAEMON_MIGRATES_S = 2.0
"""How long a command waits for a daemon to migrate the database, which it does when it starts."""


def migrate(
    database: Path, directory: Path | None = None, *, busy_s: float = BUSY_TIMEOUT_S
) -> None:
    """Create the database, or migrate it to the newest version.

    The call blocks, so run it outside the event loop. It waits ``busy_s`` seconds for another
    program's lock. ``directory`` holds the SQL files; None: those of spsd.

    Raises:
        DatabaseError: the file is damaged, locked, belongs to another program, was written by a
            newer spsd, or cannot be read or written. It was not changed.
        StateError: a migration failed. The database is as it was before that migration.
    """
    scripts = migration_scripts(directory or migrations_directory())
    require_usable_database(database, scripts, busy_s=busy_s)
    try:
        with (
            as_database_errors(database),
            closing(sqlite3.connect(database, timeout=busy_s, isolation_level=None)) as connection,
        ):
            _enable_write_ahead_log(connection, busy_s)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            for version in sorted(scripts):
                _apply(connection, version, scripts[version])
    except sqlite3.Error as error:
        raise StateError(f"{database}: the database cannot be used: {error}") from error


def migrate_unless_running(
    state: StateDirectory,
    directory: Path | None = None,
    *,
    busy_s: float = BUSY_TIMEOUT_S,
    daemon_s: float = DAEMON_MIGRATES_S,
) -> None:
    """Migrate the database as :func:`migrate` does, unless a daemon works with it.

    A daemon of an older version would continue with a schema that it does not know, and could not
    start again. While the database is migrated, the state directory is locked. A daemon that is
    just starting gets ``daemon_s`` seconds to migrate the database itself.

    Raises:
        DatabaseError: as :func:`migrate`.
        StateError: a migration failed; or it is needed, and a daemon runs. Nothing was changed.
    """
    scripts = migration_scripts(directory or migrations_directory())
    deadline = time.monotonic() + daemon_s
    while True:
        require_usable_database(state.database, scripts, busy_s=busy_s)
        if (version := _version_of(state.database, busy_s)) == max(scripts):
            return
        try:
            with state.locked():
                migrate(state.database, directory, busy_s=busy_s)
            return
        except InUseError as error:
            if time.monotonic() > deadline:
                raise StateError(
                    f"{state.database}: the database has schema version {version}, this spsd needs "
                    f"version {max(scripts)}, and the running daemon would not understand that "
                    "one. Nothing was changed. Restart the daemon with this version of spsd first, "
                    "which migrates the database, or use the spsd command that the daemon runs from"
                ) from error
        time.sleep(_LOCK_POLL_S)


def _version_of(database: Path, busy_s: float) -> int:
    """The schema version; 0 if there is no database yet."""
    if not database.exists():
        return 0
    with open_read_only(database, timeout_s=busy_s) as connection:
        return _version(connection)


def _enable_write_ahead_log(connection: sqlite3.Connection, busy_s: float) -> None:
    """Switch the file to the write-ahead log, and wait for other connections by polling.

    Two connections that switch a new file at the same time would deadlock, so SQLite reports the
    lock at once instead of waiting for the busy timeout.
    """
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
        # Read inside the transaction: another process may have migrated the file meanwhile.
        if _version(connection) < version:
            for statement in split_statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
