"""Statements that arrive together are committed together: one sync of the disk for all of them."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import aiosqlite

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
