"""The database as coroutines use it: one SQLite connection that writes, and one that reads.

Each connection runs one statement at a time. A reader of the write-ahead log waits for no lock, so
reads succeed while another program holds the lock for writing. The writing connection is in
autocommit mode, because the transactions of two coroutines would interleave on it. Therefore no
caller may need a transaction of several statements: each statement takes effect as a whole or not
at all. Only the commit is shared: statements that arrive at the same time are committed together,
with one sync of the disk for all of them.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import aiosqlite

from spsd.cancellation import to_completion
from spsd.failures import ApplianceError, FailureCode
from spsd.storage.faults import DatabaseError, DatabaseFault, database_error
from spsd.storage.files import free_bytes
from spsd.storage.inspection import BUSY_TIMEOUT_S
from spsd.storage.layout import Reserve, reserve_path

Parameters = Mapping[str, object] | Sequence[object]
Rows = list[sqlite3.Row]
_STATEMENT_ERRORS = (sqlite3.Error, sqlite3.Warning, OverflowError, TypeError, ValueError)
"""The errors of a statement, and of parameters that are not SQLite values."""


@dataclass(slots=True)
class _Statement:
    sql: str
    parameters: Parameters
    outcome: Rows | Exception | None = None

    def result(self) -> Rows:
        match self.outcome:
            case list() as rows:
                return rows
            case Exception() as error:
                raise error
            case None:
                raise RuntimeError("the statement was never run")
            case _:
                assert_never(self.outcome)


class GroupCommit:
    """The only writer on one connection, which is in autocommit mode.

    Statements that arrive during a commit are collected, and the next commit runs all of them. A
    single statement therefore waits for no others, and each statement is durable when its own
    ``run`` returns.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._committing = asyncio.Lock()
        self._waiting: list[_Statement] = []

    async def run(self, sql: str, parameters: Parameters) -> Rows:
        """Run one statement, alone or in a batch; give its rows. It is durable on return.

        Must not be cancelled: the statement would run nevertheless.

        Raises:
            sqlite3.Error: this statement failed and changed nothing. The others of its batch are
                not affected. For parameters that are not SQLite values ``sqlite3`` also raises
                OverflowError, TypeError or ValueError.
        """
        mine = _Statement(sql, parameters)
        self._waiting.append(mine)
        async with self._committing:
            if mine.outcome is None:  # otherwise an earlier batch has run it
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        return mine.result()

    async def _commit(self, batch: Sequence[_Statement]) -> None:
        if len(batch) > 1:
            # The public API of aiosqlite (0.22) runs only single statements in its thread, with a
            # switch to the event loop and back between two of them.
            call: Callable[..., Awaitable[None]] = self._connection._execute
            await call(_run_in_transaction, self._connection._conn, batch)
        for statement in batch:
            if statement.outcome is None:
                await self._run_alone(statement)

    async def _run_alone(self, statement: _Statement) -> None:
        sql, parameters = statement.sql, statement.parameters
        try:
            statement.outcome = list(await self._connection.execute_fetchall(sql, parameters))
        except _STATEMENT_ERRORS as error:
            statement.outcome = error


def _run_in_transaction(connection: sqlite3.Connection, batch: Sequence[_Statement]) -> None:
    """Run the batch in one transaction, and set the outcome of each statement.

    If the transaction fails, nothing has changed and no outcome is set. The lock of another program
    is the exception: it becomes the outcome of every statement, since each would wait for the same
    lock again if it ran alone.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        for statement in batch:
            statement.outcome = error
        return
    try:
        outcomes = [_execute(connection, statement) for statement in batch]
        connection.execute("COMMIT")
    except _STATEMENT_ERRORS:
        return
    finally:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
    for statement, outcome in zip(batch, outcomes, strict=True):
        statement.outcome = outcome


def _execute(connection: sqlite3.Connection, statement: _Statement) -> Rows | Exception:
    try:
        return connection.execute(statement.sql, statement.parameters).fetchall()
    except sqlite3.IntegrityError as error:
        # SQLite has undone this statement only (conflict resolution ABORT, the default); the
        # transaction continues.
        return error


_log = logging.getLogger(__name__)
LOCK_WAITS = 12
"""Tries of a write with ``waits_for_lock``. Each waits for the busy timeout: a minute in all."""
_STATEMENT_BYTES = 64 * 1024
"""Approximate size of one statement in the write-ahead log."""


class Database:
    """Runs single statements, and raises DatabaseError for a fault of the file or the disk.

    An error of the statement itself (a constraint, a mistake in the SQL) is raised as
    ``sqlite3.Error``.
    """

    def __init__(
        self,
        writing: aiosqlite.Connection,
        reading: aiosqlite.Connection,
        path: Path,
        *,
        lock_waits: int = LOCK_WAITS,
    ) -> None:
        """``path`` is the file that both connections have open."""
        self._lock_waits = lock_waits
        self._writing = GroupCommit(writing)
        self._reading = reading
        self._path = path
        self.reads = 0
        """Number of calls of :meth:`read`."""
        self._reserve = Reserve(reserve_path(path))

    async def read(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one SELECT and give its rows. It sees every write that has returned.

        Raises:
            DatabaseError: the file cannot be used.
        """
        self.reads += 1
        try:
            return list(await self._reading.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise await _translated(self._path, error) from error

    async def rows(
        self, sql: str, parameters: Parameters = (), *, waits_for_lock: bool = False
    ) -> list[sqlite3.Row]:
        """Run one statement to its end, even if the caller is cancelled; give its rows.

        The statement is durable on return. A lock of another program is waited for during the busy
        timeout; with ``waits_for_lock`` the statement is tried ``lock_waits`` times.

        Raises:
            ApplianceError: the disk is full, the reserve is used up, and nothing has changed.
            DatabaseError: the file cannot be used, and nothing has changed.
        """
        for tries_left in reversed(range(self._lock_waits if waits_for_lock else 1)):
            try:
                # A cancelled statement would run in its thread nevertheless. It must be over when
                # the caller continues, or a later read would not see it.
                return await to_completion(self._write_with_reserve(sql, parameters))
            except DatabaseError as error:
                if error.fault is not DatabaseFault.LOCKED or tries_left == 0:
                    raise
                _log.warning("%s Trying again.", error)
        raise AssertionError("the last try returns or raises")

    async def _write_with_reserve(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        """Run the statement; if the disk is full, release the reserve and run it again."""
        if not self._reserve.is_held:
            with suppress(OSError):  # the disk is full: nothing can be reserved
                await asyncio.to_thread(self._reserve.reserve)
        try:
            return await self._write(sql, parameters)
        except DatabaseError as error:
            if error.fault is not DatabaseFault.FULL:
                raise
        await asyncio.to_thread(self._reserve.release)
        try:
            return await self._write(sql, parameters)
        except DatabaseError as error:
            if error.fault is not DatabaseFault.FULL:
                raise
            free = await asyncio.to_thread(free_bytes, self._path.parent)
            evidence = {"needed bytes": _STATEMENT_BYTES} | free
            what = "writing the database failed: no space left on its file system"
            raise ApplianceError(FailureCode.DISK_FULL, what, evidence) from error

    async def _write(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        try:
            return await self._writing.run(sql, parameters)
        except sqlite3.Error as error:
            raise await _translated(self._path, error) from error


@asynccontextmanager
async def open_database(
    path: Path, *, busy_s: float = BUSY_TIMEOUT_S, lock_waits: int = LOCK_WAITS
) -> AsyncIterator[Database]:
    """Open a migrated database, and close it at the end of the context.

    A statement waits ``busy_s`` seconds for another program's lock; one with ``waits_for_lock``
    is tried ``lock_waits`` times.

    Raises:
        DatabaseError: the file cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            writing = await _connect(stack, path, busy_s, "synchronous = FULL", "foreign_keys = ON")
            reading = await _connect(stack, path, busy_s, "query_only = ON")
        except sqlite3.Error as error:
            raise await _translated(path, error) from error
        yield Database(writing, reading, path, lock_waits=lock_waits)


async def _connect(
    stack: AsyncExitStack, path: Path, busy_s: float, *pragmas: str
) -> aiosqlite.Connection:
    connection = await stack.enter_async_context(
        aiosqlite.connect(path, isolation_level=None, timeout=busy_s)
    )
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", *pragmas):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection


async def _translated(path: Path, error: sqlite3.Error) -> Exception:
    """The error as DatabaseError; unchanged if the statement is at fault, which is a bug."""
    return await asyncio.to_thread(database_error, path, error) or error
