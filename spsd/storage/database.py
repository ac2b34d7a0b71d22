"""Two SQLite connections, each one statement at a time: one writes, one reads.

Readers of the write-ahead log wait for nothing, so a read is answered while another program holds
the lock for writing. The writing connection is in autocommit: transactions of two coroutines would
interleave on it. So no use spans two statements; a statement happened whole or not at all, and the
row says which. Only the commit is shared: statements that arrive together are committed together,
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
from spsd.storage.layout import Reserve, reserve_of

Parameters = Mapping[str, object] | Sequence[object]
Rows = list[sqlite3.Row]
_FAULTS = (sqlite3.Error, sqlite3.Warning, OverflowError, TypeError, ValueError)
"""What a statement raises, or its parameters if they are no values of SQLite's."""


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
    """The only writer on one connection, which is in autocommit.

    While a commit is under way others gather; whoever is next takes them all along. So one alone
    waits for nobody, and what one did is durable when its own ``run`` returns.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._gathered: list[_Statement] = []

    async def run(self, sql: str, parameters: Parameters) -> Rows:
        """Run one statement, alone or with others; then it is durable. Not to be cancelled.

        Raises:
            sqlite3.Error: it failed, whatever became of the others, and has changed nothing; and
                what else ``sqlite3`` raises for parameters that are no values of SQLite's.
        """
        mine = _Statement(sql, parameters)
        self._gathered.append(mine)
        async with self._turn:
            if mine.outcome is None:  # else an earlier one has taken it along
                together, self._gathered = self._gathered, []
                await self._commit(together)
        return mine.result()

    async def _commit(self, together: Sequence[_Statement]) -> None:
        if len(together) > 1:
            # aiosqlite (0.22) has no public way to its thread but for single statements, and
            # between those the loop would have to be asked each time.
            call: Callable[..., Awaitable[None]] = self._connection._execute
            await call(_in_one, self._connection._conn, together)
        for one in together:
            if one.outcome is None:
                await self._alone(one)

    async def _alone(self, one: _Statement) -> None:
        try:
            one.outcome = list(await self._connection.execute_fetchall(one.sql, one.parameters))
        except _FAULTS as error:
            one.outcome = error


def _in_one(connection: sqlite3.Connection, together: Sequence[_Statement]) -> None:
    """Run all in one transaction. If that fails nothing has changed, and nothing has an outcome.

    Only the lock of another program is told to each of them at once: alone, each would wait for
    it again, one after the other.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        for one in together:
            one.outcome = error
        return
    try:
        outcomes = [_outcome(connection, one) for one in together]
        connection.execute("COMMIT")
    except _FAULTS:
        return
    finally:
        if connection.in_transaction:  # a full disk may have ended it already
            connection.execute("ROLLBACK")
    for one, outcome in zip(together, outcomes, strict=True):
        one.outcome = outcome


def _outcome(connection: sqlite3.Connection, one: _Statement) -> Rows | Exception:
    try:
        return connection.execute(one.sql, one.parameters).fetchall()
    except sqlite3.IntegrityError as error:
        # It alone has been undone (SQLite: ABORT, the default); the transaction goes on.
        return error


_log = logging.getLogger(__name__)
LOCK_WAITS = 12
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
        lock_waits: int = LOCK_WAITS,
    ) -> None:
        self._lock_waits = lock_waits
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
        self, sql: str, parameters: Parameters = (), *, waits_for_lock: bool = False
    ) -> list[sqlite3.Row]:
        """Run one statement to its end, cancelled or not, and give its rows; then it is durable.

        ``patient`` waits for a lock many times as long as the busy time.

        Raises:
            ApplianceError: the disk is full, the reserve is used up, and nothing has changed.
            DatabaseError: the file cannot be used, and nothing has changed.
        """
        for left in reversed(range(self._lock_waits if waits_for_lock else 1)):
            try:
                # A cancelled statement would run all the same: whoever reads afterwards must
                # find it over.
                return await to_completion(self._roomy(sql, parameters))
            except DatabaseError as error:
                if error.fault is not DatabaseFault.LOCKED or left == 0:
                    raise
                _log.warning("%s; waiting for it", error)
        raise AssertionError("the last try returns or raises")

    async def _roomy(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        """With the reserve's room, if there is no other."""
        if not self._reserve.is_held:
            with suppress(OSError):  # no room: then there is none to keep
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
    path: Path, *, busy_s: float = BUSY_TIMEOUT_S, lock_waits: int = LOCK_WAITS
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
        yield Database(writing, looking, path, lock_waits=lock_waits)


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
