"""One SQLite connection, one statement at a time.

The connection is in autocommit: transactions of two coroutines would interleave on it, and a
cancelled ``await`` still runs its statement. So nothing here spans two statements; a statement
either happened or did not, and the row says which.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite

from spsd.adapters.durable import free_bytes
from spsd.adapters.migrations import BUSY_TIMEOUT_S
from spsd.adapters.reserve import Reserve
from spsd.domain.failure import ApplianceError, FailureCode

_WRITE_ROOM = 64 * 1024
"""About what one statement takes in the write-ahead log, in bytes."""

Parameters = Mapping[str, object] | Sequence[object]


class Database:
    """Runs statements; ``sqlite3`` errors pass through to the repositories, but for a full disk."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._directory = path.parent
        self._reserve = Reserve(path.with_name(f"{path.name}.reserve"))

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one statement to its end and give its rows; a write is durable on return.

        Raises:
            ApplianceError: the disk is full, the reserve is used up, and nothing has changed.
        """
        if not self._reserve.whole:
            await self._lay_by()
        try:
            return await self._run(sql, parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        await asyncio.to_thread(self._reserve.give)
        try:
            return await self._run(sql, parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            free = await asyncio.to_thread(free_bytes, self._directory)
            evidence = {"needed bytes": _WRITE_ROOM} | free
            what = "writing the database failed: no space left on the disk"
            raise ApplianceError(FailureCode.DISK_FULL, what, evidence) from error

    async def _lay_by(self) -> None:
        """Keep room for the statements that tell of a full disk, if there is any."""
        with suppress(OSError):  # no room: then there is none to keep
            await asyncio.to_thread(self._reserve.lay_by)

    async def _run(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, parameters))


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Open a migrated database; closed on the way out, whatever happens."""
    async with aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        yield Database(connection, path)
