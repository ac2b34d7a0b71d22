"""Two SQLite connections, each one statement at a time: one writes, one reads.

Readers of the write-ahead log wait for nobody, so what only looks is answered while another
program holds the lock for writing. The writing connection is in autocommit: transactions of two
coroutines would interleave on it. So no use spans two statements; a statement either happened or
did not, and the row says which. Only the commit may be shared, by statements that meet.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiosqlite

from spsd.adapters.database_check import BUSY_TIMEOUT_S
from spsd.adapters.database_errors import database_error
from spsd.adapters.durable import free_bytes
from spsd.adapters.group_commit import GroupCommit, Parameters
from spsd.adapters.reserve import Reserve, reserve_of
from spsd.cancellation import to_completion
from spsd.domain.database import DatabaseError, Trouble
from spsd.failures import ApplianceError, FailureCode

_log = logging.getLogger(__name__)

PATIENCE = 12
"""How often a patient write is tried, each time for the busy time: about a minute in all."""
_WRITE_ROOM = 64 * 1024
"""About what one statement takes in the write-ahead log, in bytes."""


class Database:
    """Runs statements; of ``sqlite3``'s errors only those that a statement is at fault for pass."""

    def __init__(
        self,
        writing: aiosqlite.Connection,
        looking: aiosqlite.Connection,
        path: Path,
        *,
        patience: int = PATIENCE,
    ) -> None:
        self._patience = patience
        self._writing = GroupCommit(writing)
        self._looking = looking
        self._path = path
        self.reads = 0
        """How many SELECTs were run."""
        self._reserve = Reserve(reserve_of(path))

    async def read(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one SELECT; it sees every write that has returned.

        Raises:
            DatabaseError: the file cannot be used.
        """
        self.reads += 1
        try:
            return list(await self._looking.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise await _renamed(self._path, error) from error

    async def rows(
        self, sql: str, parameters: Parameters = (), *, patient: bool = False
    ) -> list[sqlite3.Row]:
        """Run one statement to its end, cancelled or not, and give its rows; then it is durable.

        ``patient`` waits for a lock many times as long as the busy time.

        Raises:
            ApplianceError: the disk is full, the reserve is used up, and nothing has changed.
            DatabaseError: the file cannot be used, and nothing has changed.
        """
        for left in reversed(range(self._patience if patient else 1)):
            try:
                # A cancelled statement would run all the same: whoever reads afterwards must
                # find it over.
                return await to_completion(self._roomy(sql, parameters))
            except DatabaseError as error:
                if error.trouble is not Trouble.LOCKED or left == 0:
                    raise
                _log.warning("%s; waiting for it", error)
        raise AssertionError("the last try returns or raises")

    async def _roomy(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        """With the reserve's room, if there is no other."""
        if not self._reserve.whole:
            with suppress(OSError):  # no room: then there is none to keep
                await asyncio.to_thread(self._reserve.lay_by)
        try:
            return await self._write(sql, parameters)
        except DatabaseError as error:
            if error.trouble is not Trouble.FULL:
                raise
        await asyncio.to_thread(self._reserve.give)
        try:
            return await self._write(sql, parameters)
        except DatabaseError as error:
            if error.trouble is not Trouble.FULL:
                raise
            free = await asyncio.to_thread(free_bytes, self._path.parent)
            evidence = {"needed bytes": _WRITE_ROOM} | free
            what = "writing the database failed: no space left on the disk"
            raise ApplianceError(FailureCode.DISK_FULL, what, evidence) from error

    async def _write(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        try:
            return await self._writing.run(sql, parameters)
        except sqlite3.Error as error:
            raise await _renamed(self._path, error) from error


@asynccontextmanager
async def open_database(
    path: Path, *, busy_s: float = BUSY_TIMEOUT_S, patience: int = PATIENCE
) -> AsyncIterator[Database]:
    """Open a migrated database; closed on the way out, whatever happens.

    A statement waits ``busy_s`` for another program's lock, a patient one ``patience`` times that.

    Raises:
        DatabaseError: the file cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            writing = await _opened(stack, path, busy_s, "synchronous = FULL", "foreign_keys = ON")
            looking = await _opened(stack, path, busy_s, "query_only = ON")
        except sqlite3.Error as error:
            raise await _renamed(path, error) from error
        yield Database(writing, looking, path, patience=patience)


async def _opened(
    stack: AsyncExitStack, path: Path, busy_s: float, *pragmas: str
) -> aiosqlite.Connection:
    connection = await stack.enter_async_context(
        aiosqlite.connect(path, isolation_level=None, timeout=busy_s)
    )
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", *pragmas):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection


async def _renamed(path: Path, error: sqlite3.Error) -> Exception:
    """The error under our name, unless it is a bug's."""
    return await asyncio.to_thread(database_error, path, error) or error
