"""``spsd user …`` of another version beside a running daemon: no command migrates its database."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from spsd.storage.inspection import migrations_directory
from spsd.testing.daemon import PASSWORD
from testbed.driver import Daemon, running

ROOT = Path(__file__).parents[2]
NEWEST = len(list(migrations_directory().glob("*.sql")))


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A source tree of the next version of spsd, whose database has one more table."""
    tree = tmp_path / "newer"
    shutil.copytree(ROOT / "spsd", tree / "spsd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "migrations", tree / "migrations")
    script = tree / "migrations" / f"{NEWEST + 1:04d}_next.sql"
    script.write_text("CREATE TABLE next (x INTEGER);\n")
    return tree


async def user(
    tree: Path, daemon: Daemon, *arguments: str, password: bool = True
) -> tuple[int, str, str]:
    """Run ``spsd user`` of that source tree: exit status, standard output and error."""
    more = ("--password-stdin",) if password else ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spsd", "user", *arguments, *more, "--config", str(daemon.config)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
    )
    out, err = await process.communicate(PASSWORD.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def version(daemon: Daemon) -> int:
    with closing(sqlite3.connect(daemon.state / "spsd.sqlite")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_a_newer_command_leaves_the_database_of_a_running_daemon(
    newer: Path, tmp_path: Path
) -> None:
    async with running(tmp_path) as daemon:
        for arguments, password in (
            (("add", "ann"), True),
            (("list",), False),
        ):
            code, out, err = await user(newer, daemon, *arguments, password=password)
            assert (code, out) == (1, ""), err
            assert len(err.splitlines()) == 1, err
            assert f"schema version {NEWEST}" in err
            assert f"needs version {NEWEST + 1}" in err
            assert "Restart the daemon with this version" in err
        assert version(daemon) == NEWEST
        # The daemon and the command of its own version work as before.
        assert (await user(ROOT, daemon, "add", "ben"))[0] == 0
        assert daemon.client is not None
        await daemon.client.close()
        await daemon.log_in("ben")
        code, out, _ = await user(ROOT, daemon, "list", password=False)
        assert {line.split("\t")[0] for line in out.splitlines()} == {
            *("admin", "ben", "operator", "viewer")
        }
        # It starts again, which it would not with a newer database.
        await daemon.stop()
        await daemon.start()


async def test_without_a_daemon_a_newer_command_migrates(newer: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    await daemon.set_up()
    assert await user(newer, daemon, "add", "ann") == (0, "", "")
    assert version(daemon) == NEWEST + 1
    # Now this version is the older one.
    code, out, err = await user(ROOT, daemon, "list", password=False)
    assert (code, out) == (1, "")
    assert "database_future" in err
    assert version(daemon) == NEWEST + 1


async def test_a_killed_daemon_holds_nothing(newer: Path, tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await daemon.end(signal.SIGKILL)
        assert (await user(newer, daemon, "add", "ann"))[0] == 0
        assert version(daemon) == NEWEST + 1


async def test_a_command_and_the_first_start_at_the_same_time(tmp_path: Path) -> None:
    """Both find no database. The command waits for the daemon's migration, or migrates itself."""
    daemon = Daemon(tmp_path)
    daemon.configure()
    try:
        added, _ = await asyncio.gather(user(ROOT, daemon, "add", "admin"), daemon.start())
        assert added == (0, "", "")
        await daemon.log_in("admin")
    finally:
        await daemon.close()


async def test_other_commands_change_nothing(newer: Path, tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        for command in ("doctor", "check-config"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "spsd", command, "--config", str(daemon.config)),
                stdout=subprocess.PIPE,
                cwd=newer,
                env=os.environ | {"PYTHONPATH": str(newer)},
            )
            out, _ = await process.communicate()
            assert b"Traceback" not in out
        assert version(daemon) == NEWEST
