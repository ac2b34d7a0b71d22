"""Ways to damage a database file, to lock it, and to run ``spsd`` on it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from testbed.driver import Daemon

PAGE = 4096
LOCKING_PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def locked_by_another_program(database: Path) -> AsyncIterator[int]:
    """A transaction of another process holds the lock for writing; gives its process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOCKING_PROGRAM, database),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"locked\n"
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()
        process._transport.close()


async def output_of_refused_start(daemon: Daemon) -> str:
    """Start the daemon, which ends with exit code 1; gives its output."""
    code, output = await run_spsd(daemon, "serve")
    assert code == 1, output
    return output


async def run_spsd(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    """Run ``spsd`` to its end; gives the exit code, and standard output and error as one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spsd", *arguments, "--config", daemon.config),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # it serves, although it should have ended
            process.kill()
            await process.wait()
        process._transport.close()
    return process.returncode, output.decode()


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(data)


def zero_header(database: Path) -> None:
    write_at(database, 0, bytes(100))


def write_garbage_into_pages(database: Path) -> None:
    for page in range(1, database.stat().st_size // PAGE):
        write_at(database, page * PAGE, b"\xa5" * 64)


def truncate_to_half(database: Path) -> None:
    os.truncate(database, database.stat().st_size // PAGE // 2 * PAGE)


def truncate_to_nothing(database: Path) -> None:
    os.truncate(database, 0)


def set_foreign_application_id(database: Path) -> None:
    execute(database, "PRAGMA application_id = 0x47504b47")


def replace_by_unmarked_database(database: Path) -> None:
    database.unlink()
    execute(database, "CREATE TABLE bookmarks (url TEXT)")


def drop_a_table(database: Path) -> None:
    execute(database, "DROP TABLE session")


def set_future_version(database: Path) -> None:
    execute(database, "PRAGMA user_version = 999")


DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "zeroed header": (zero_header, "database_corrupt: file is not a database"),
    "garbage in pages": (write_garbage_into_pages, "database_corrupt: "),
    "truncated": (truncate_to_half, "database_corrupt: "),
    "empty": (truncate_to_nothing, "database_corrupt: it is empty, although"),
    "application id of another program": (
        set_foreign_application_id,
        "database_foreign: it belongs to another program",
    ),
    "tables of another program": (
        replace_by_unmarked_database,
        "database_foreign: it has no spsd schema version, but holds bookmarks",
    ),
    "without a table": (drop_a_table, "database_corrupt: it lacks session"),
    "future version": (set_future_version, "database_future: the database has version 999"),
}
