"""Faults of the database: each is reported in one line, and no acknowledged job is lost."""

import asyncio
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from spsd.testing.origin import Origin
from testbed.driver import FETCH, PASSWORD, POLL_S, USER, Daemon, running
from testbed.iso import build_iso
from tests.daemon.databases import (
    execute,
    locked_by_another_program,
    output_of_refused_start,
    write_garbage_into_pages,
)
from tests.daemon.test_crash import sha256
from tests.disk import FILLER, failing_disk, fill, needs_root, small_disk

DATABASE = "spsd.sqlite"
AUTH = {"Authorization": aiohttp.encode_basic_auth(USER, PASSWORD)}
NEVER = "http://127.0.0.1:9/never.iso"


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    path = tmp_path / "image.iso"
    build_iso(path)
    return path


@pytest.fixture
def disk(tmp_path: Path):
    with small_disk(tmp_path / "disk", 40) as path:
        yield path


def jobs_of_sound_database(database: Path) -> list[tuple[str, str]]:
    """Key and state of each job, from a file that passes all checks of SQLite."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return connection.execute("SELECT key, state FROM job ORDER BY seq").fetchall()


async def fill_database_and_stop(daemon: Daemon) -> None:
    for _ in range(40):  # enough for several pages
        await daemon.submit(NEVER, os.urandom(32).hex())
    assert await daemon.stop() == 0


async def test_garbage_in_the_write_ahead_log_loses_no_job(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await fill_database_and_stop(daemon)
        before = jobs_of_sound_database(daemon.state / DATABASE)
        (daemon.state / f"{DATABASE}-wal").write_bytes(b"\xa5" * 40_000)
        await daemon.start()
        assert [key for key, _ in before] == [
            item["key"] for item in (await daemon.call("GET", FETCH))[1]["items"]
        ]


async def test_an_empty_file_without_a_reserve_is_initialised(tmp_path: Path) -> None:
    """A power cut during the very first start leaves such a file."""
    daemon = Daemon(tmp_path)
    daemon.configure()
    daemon.state.mkdir()
    (daemon.state / DATABASE).touch()
    await daemon.add_user()
    assert jobs_of_sound_database(daemon.state / DATABASE) == []


async def test_damage_of_a_running_daemon_s_database_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        keys = [await daemon.submit(NEVER, os.urandom(32).hex()) for _ in range(40)]
        database = daemon.state / DATABASE
        execute(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        write_garbage_into_pages(database)
        # A write of another program invalidates the daemon's page cache.
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 2")
        try:
            status, body = await daemon.call("GET", f"{FETCH}/{keys[0]}")
            assert status == 500, body
            # Reading the session may already fail with this code, since it is in the same file.
            assert body["error"]["type"] == "StorageFailed"
            assert body["error"]["details"] == {"code": "database_corrupt"}
            assert "spsd doctor" in body["error"]["message"]
        except OSError:  # the daemon has ended
            pass
        await daemon.kill()
        assert "database_corrupt" in await output_of_refused_start(daemon)


async def test_a_lock_while_the_daemon_runs(iso: Path, tmp_path: Path) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path) as daemon:
        async with locked_by_another_program(daemon.state / DATABASE) as pid:
            writing = asyncio.create_task(
                daemon.call("POST", FETCH, json={"url": NEVER, "checksum": {"sha256": "0" * 64}})
            )
            reads = 0
            while not writing.done():
                status, document = await daemon.call("GET", FETCH)
                assert (status, document["items"]) == (200, [])
                reads += 1
                await asyncio.sleep(POLL_S)  # the rate of a client that polls
            status, body = await writing
            assert status == 503, body
            assert body["error"]["type"] == "StorageBusy"
            assert body["error"]["details"] == {"code": "database_locked"}
            assert f"process {pid} (python" in body["error"]["message"]
            assert reads > 10  # in five seconds; a read that waits for the lock is one
            # A lock shorter than the busy timeout delays the request, but does not fail it.
            delayed = asyncio.create_task(daemon.submit(origin.url("/image.iso"), sha256(iso)))
            await asyncio.sleep(0.2)  # it waits inside SQLite, which cannot be observed
            assert not delayed.done()
        assert (await daemon.over(await delayed))["status"] == "finished"
        assert len((await daemon.call("GET", FETCH))[1]["items"]) == 1


async def test_a_running_job_waits_for_a_lock(tmp_path: Path) -> None:
    iso = tmp_path / "image.iso"
    build_iso(iso, size=8 * 1024 * 1024)
    settings = {"fetch": {"rate_limit_bytes_per_s": 8 * 1024 * 1024}}
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path, **settings) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        await daemon.until(key, lambda body: body["status"] == "in-progress")
        async with locked_by_another_program(daemon.state / DATABASE):
            await asyncio.sleep(6)  # longer than the busy timeout of five seconds
            assert (await daemon.job(key))["status"] == "in-progress"
        assert (await daemon.over(key))["status"] == "finished"
        assert daemon.image(1).read_bytes() == iso.read_bytes()


async def test_a_lock_at_start(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        key = await daemon.submit(NEVER, "0" * 64)
        assert await daemon.stop() == 0
        async with locked_by_another_program(daemon.state / DATABASE) as pid:
            line = await output_of_refused_start(daemon)
        assert "database_locked" in line
        assert f"held by process {pid} (python" in line
        assert line.count("\n") == 1
        async with locked_by_another_program(daemon.state / DATABASE):
            starting = asyncio.create_task(daemon.start())
            await asyncio.sleep(0.5)  # it waits inside SQLite, which cannot be observed
        await starting  # the lock was shorter than the busy timeout
        assert (await daemon.job(key))["status"] in ("queued", "in-progress", "failed")


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        line = await output_of_refused_start(daemon)
        assert line == (
            f"spsd: {daemon.state}: another spsd already uses this state directory; stop it, or "
            "set another [state] directory\n"
        )
        assert (await daemon.call("GET", FETCH))[0] == 200


@needs_root
async def test_a_read_only_file_system_at_start(disk: Path) -> None:
    async with running(disk) as daemon:
        key = await daemon.submit(NEVER, "0" * 64)
        assert await daemon.stop() == 0
        remount(disk, "ro")
        try:
            line = await output_of_refused_start(daemon)
        finally:
            remount(disk, "rw")
        assert line == (
            f"spsd: {daemon.state}: the state directory is not writable; check its owner and mode, "
            "and how its file system is mounted\n"
        )
        await daemon.start()
        assert (await daemon.job(key))["status"] in ("queued", "in-progress", "failed")


@needs_root
async def test_a_file_system_that_the_kernel_makes_read_only(iso: Path, tmp_path: Path) -> None:
    """As ext4 does after an error: what was acknowledged is there after the repair."""
    with failing_disk(tmp_path / "state", 48) as (_, fail):
        async with (
            Origin({"/image.iso": iso}) as origin,
            running(tmp_path, by_command=True) as daemon,
        ):
            key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
            assert (await daemon.over(key))["status"] == "finished"
            await asyncio.to_thread(fail)
            order = {"url": NEVER, "checksum": {"sha256": "0" * 64}}
            status, body = await daemon.call("POST", FETCH, json=order)
            assert (status, body["error"]["type"]) == (500, "StorageFailed")
            assert body["error"]["details"]["code"] in ("database_read_only", "database_unreadable")
            assert (await daemon.job(key))["status"] == "finished"
            assert (await daemon.call("GET", f"{FETCH}/x"))[0] == 404
            await daemon.kill()
            assert "cannot be used: Read-only file system" in await output_of_refused_start(daemon)
            await asyncio.to_thread(fail.repair)
            await daemon.start()
            assert [item["key"] for item in (await daemon.call("GET", FETCH))[1]["items"]] == [key]
            assert daemon.image(1).read_bytes() == iso.read_bytes()
            await daemon.kill()


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)


@needs_root
async def test_a_full_disk_at_start(disk: Path) -> None:
    daemon = Daemon(disk)
    daemon.configure()
    await asyncio.to_thread(fill, disk)
    line = await output_of_refused_start(daemon)
    assert line.count("\n") == 1, line
    assert "No space left" in line or "database_full" in line
    (disk / FILLER).unlink()
    async with running(disk, by_command=True) as daemon:
        await daemon.submit(NEVER, "0" * 64)


@needs_root
async def test_a_full_disk_while_nothing_runs(disk: Path) -> None:
    """Writes get an error, reads succeed, and no restart is needed afterwards."""

    async def log_in() -> int:
        await asyncio.to_thread(fill, disk)
        path = f"{daemon.url}/api/authentication"
        async with daemon.client.get(path, headers=AUTH) as response:
            status, text = response.status, await response.text()
        assert status == 200 or "InsufficientStorage" in text, text
        return status

    async with running(disk) as daemon:
        statuses = [await log_in() for _ in range(3)]
        assert statuses[-1] == 507
        order = {"url": NEVER, "checksum": {"sha256": "0" * 64}}
        status, body = await daemon.call("POST", FETCH, json=order)
        assert (status, body["error"]["type"]) == (507, "InsufficientStorage")
        assert body["error"]["details"]["free_bytes"] == 0
        assert (await daemon.call("GET", FETCH))[1]["items"] == []
        (disk / FILLER).unlink()
        await daemon.submit(NEVER, "0" * 64)
        assert daemon.process.returncode is None


@needs_root
async def test_a_full_disk_while_it_runs(disk: Path, iso: Path, tally) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(disk) as daemon:
        accepted, refusals = [await daemon.submit(NEVER, "0" * 64)], []
        await asyncio.to_thread(fill, disk)
        # The reserve has space for some more jobs; then requests get an error.
        while not refusals:
            order = {"url": NEVER, "checksum": {"sha256": os.urandom(32).hex()}}
            try:
                status, body = await daemon.call("POST", FETCH, json=order)
            except OSError:
                break  # a running job met the full disk first, and ended the daemon
            if status == 202:
                accepted.append(body["key"])
            else:
                assert (status, body["error"]["type"]) == (507, "InsufficientStorage"), body
                refusals.append(body)
            if await asyncio.to_thread(room_left, disk):
                await asyncio.to_thread(fill, disk)
        (disk / FILLER).unlink()
        await daemon.kill()
        jobs = jobs_of_sound_database(daemon.state / DATABASE)
        assert [key for key, _ in jobs] == accepted
        await daemon.start()
        for key in accepted:
            await daemon.call("DELETE", f"{FETCH}/{key}")
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        assert (await daemon.over(key))["status"] == "finished"
        tally("jobs acknowledged on a full disk, none lost", len(accepted))


def room_left(disk: Path) -> int:
    return os.statvfs(disk).f_bavail


@needs_root
async def test_a_full_disk_under_a_running_job(disk: Path, iso: Path) -> None:
    """The reserve is used first, then the daemon ends; with free space again all jobs continue."""
    settings = {"fetch": {"attempts": 1000}}
    async with Origin({"/image.iso": iso}) as origin, running(disk, **settings) as daemon:
        retried = await daemon.submit(NEVER, "0" * 64)
        waiting = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        while daemon.process.returncode is None:
            await asyncio.to_thread(fill, disk)
            await asyncio.sleep(POLL_S)  # what the daemon frees meanwhile is filled again
        assert daemon.process.returncode == 1
        (disk / FILLER).unlink()
        assert [key for key, _ in jobs_of_sound_database(daemon.state / DATABASE)] == [
            retried,
            waiting,
        ]
        await daemon.start()
        assert (await daemon.job(retried))["status"] in ("queued", "in-progress")
        await daemon.call("DELETE", f"{FETCH}/{retried}")
        assert (await daemon.over(waiting))["status"] == "finished"
