"""One SQLite connection, one statement at a time.

The connection is in autocommit: transactions of two coroutines would interleave on it, and a
cancelled ``await`` still runs its statement. So nothing here spans two statements; a statement
either happened or did not, and the row says which.
"""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from spsd.adapters.migrations import BUSY_TIMEOUT_S

Parameters = Mapping[str, object] | Sequence[object]


class Database:
    """Runs statements; ``sqlite3`` errors pass through to the repositories."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one statement to its end and give its rows; a write is durable on return."""
        rows = await self._connection.execute_fetchall(sql, parameters)
        return list(rows)


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Open a migrated database; closed on the way out, whatever happens."""
    async with aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        yield Database(connection)
