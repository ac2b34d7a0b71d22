"""Group commit: statements that arrive together share a commit, and each has its own outcome."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiosqlite
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsd.storage.database import GroupCommit

ADD = "INSERT INTO numbers (number) VALUES (?) RETURNING number"
TOO_LARGE = 2**63
LOCK_S = 0.5


@asynccontextmanager
async def opened(path: Path, *, executed: list[str] | None = None) -> AsyncIterator[GroupCommit]:
    """On an empty table of distinct numbers; each SQL statement is appended to ``executed``."""
    async with aiosqlite.connect(path, isolation_level=None, timeout=LOCK_S) as connection:
        await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        await connection.execute_fetchall("DROP TABLE IF EXISTS numbers")
        await connection.execute_fetchall(
            "CREATE TABLE numbers (number INTEGER PRIMARY KEY, filling BLOB)"
        )
        if executed is not None:
            await connection.set_trace_callback(executed.append)
        yield GroupCommit(connection)


async def at_once(group: GroupCommit, numbers: Sequence[int]) -> list[object]:
    return await asyncio.gather(*(group.run(ADD, (n,)) for n in numbers), return_exceptions=True)


def stored_numbers(path: Path) -> list[int]:
    """The numbers that another connection reads."""
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers")]


async def test_simultaneous_statements_share_a_commit(tmp_path: Path) -> None:
    """The first runs alone; all others wait for it and are committed together."""
    executed: list[str] = []
    async with opened(tmp_path / "db", executed=executed) as group:
        outcomes = await at_once(group, range(50))
        assert await asyncio.to_thread(stored_numbers, tmp_path / "db") == list(range(50))
    assert outcomes == [[(n,)] for n in range(50)]
    assert [executed.count(word) for word in ("BEGIN IMMEDIATE", "COMMIT")] == [1, 1]


async def test_a_single_statement_runs_without_an_explicit_transaction(tmp_path: Path) -> None:
    executed: list[str] = []
    async with opened(tmp_path / "db", executed=executed) as group:
        for number in range(3):
            assert await group.run(ADD, (number,)) == [(number,)]
    assert len(executed) == 3


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(numbers=st.lists(st.integers(0, 9) | st.just(TOO_LARGE), max_size=12))
async def test_each_statement_has_the_outcome_that_it_has_alone(
    tmp_path: Path, numbers: list[int]
) -> None:
    async with opened(tmp_path / "db") as group:
        outcomes = await at_once(group, numbers)
        assert await asyncio.to_thread(stored_numbers, tmp_path / "db") == sorted(
            set(numbers) - {TOO_LARGE}
        )
    for place, (number, outcome) in enumerate(zip(numbers, outcomes, strict=True)):
        if number == TOO_LARGE:
            # sqlite3 may repeat the constraint error of the statement before.
            assert isinstance(outcome, OverflowError | sqlite3.IntegrityError)
        elif number in numbers[:place]:
            assert isinstance(outcome, sqlite3.IntegrityError)
        else:
            assert outcome == [(number,)]


async def test_a_statement_on_a_full_disk_does_not_fail_the_others(tmp_path: Path) -> None:
    big = ("INSERT INTO numbers VALUES (?, zeroblob(1000000))", (99,))
    async with opened(tmp_path / "db") as group:
        await group.run("PRAGMA max_page_count = 10", ())
        outcomes = await asyncio.gather(
            group.run(ADD, (0,)),
            group.run(ADD, (1,)),
            group.run(*big),
            group.run(ADD, (2,)),
            return_exceptions=True,
        )
        assert await asyncio.to_thread(stored_numbers, tmp_path / "db") == [0, 1, 2]
    assert isinstance(outcomes[2], sqlite3.OperationalError)
    assert outcomes[2].sqlite_errorcode == sqlite3.SQLITE_FULL
    assert [outcomes[n] for n in (0, 1, 3)] == [[(0,)], [(1,)], [(2,)]]


async def test_a_lock_of_another_program_is_waited_for_once_and_fails_all(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    async with opened(tmp_path / "db") as group:
        with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = clock()
            outcomes = await at_once(group, range(20))
            # The first tries alone, the others together: two waits and not twenty.
            assert clock() - began < 10 * LOCK_S
            other.execute("ROLLBACK")
        assert {getattr(error, "sqlite_errorcode", None) for error in outcomes} == {
            sqlite3.SQLITE_BUSY
        }
        assert await at_once(group, range(20)) == [[(n,)] for n in range(20)]


@pytest.mark.parametrize("number", [0, 7])
async def test_a_statement_sees_the_effect_of_those_before_it(tmp_path: Path, number: int) -> None:
    async with opened(tmp_path / "db") as group:
        first, second = await asyncio.gather(
            group.run(ADD, (number,)), group.run("UPDATE numbers SET number = 3 RETURNING 1", ())
        )
    assert (first, second) == ([(number,)], [(1,)])
