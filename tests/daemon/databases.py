"""Ways to spoil a database file, and to hold it."""

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
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held(database: Path) -> AsyncIterator[int]:
    """Another program's transaction; gives its process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, database),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"held\n"
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()
        process._transport.close()


async def refused(daemon: Daemon) -> str:
    """Start; gives what standard error says, after the exit code 1."""
    code, told = await ran(daemon, "serve")
    assert code == 1, told
    return told


async def ran(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spsd", *arguments, "--config", daemon.config),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:  # it serves, and should not
            process.kill()
            await process.wait()
        process._transport.close()
    return process.returncode, told.decode()


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(data)


def zeroed_header(database: Path) -> None:
    write_at(database, 0, bytes(100))


def garbage_in_pages(database: Path) -> None:
    for page in range(1, database.stat().st_size // PAGE):
        write_at(database, page * PAGE, b"\xa5" * 64)


def truncated(database: Path) -> None:
    os.truncate(database, database.stat().st_size // PAGE // 2 * PAGE)


def empty(database: Path) -> None:
    os.truncate(database, 0)


def another_programs(database: Path) -> None:
    execute(database, "PRAGMA application_id = 0x47504b47")


def anybodys(database: Path) -> None:
    database.unlink()
    execute(database, "CREATE TABLE bookmarks (url TEXT)")


def without_a_table(database: Path) -> None:
    execute(database, "DROP TABLE session")


def from_the_future(database: Path) -> None:
    execute(database, "PRAGMA user_version = 999")


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "zeroed header": (zeroed_header, "database_corrupt: file is not a database"),
    "garbage in pages": (garbage_in_pages, "database_corrupt: "),
    "truncated": (truncated, "database_corrupt: "),
    "empty": (empty, "database_corrupt: it is empty, although"),
    "another program's": (another_programs, "database_foreign: it is another program's"),
    "anybody's": (anybodys, "database_foreign: it has no version of ours, but holds bookmarks"),
    "without a table": (without_a_table, "database_corrupt: it lacks session"),
    "from the future": (from_the_future, "database_future: the database has version 999"),
}
