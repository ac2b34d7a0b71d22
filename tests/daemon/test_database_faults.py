"""What is wrong with the database is told in a line, and costs no job that was acknowledged."""

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
from tests.daemon.databases import execute, garbage_in_pages, held, refused
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


def sound(database: Path) -> list[tuple[str, str]]:
    """The file is whole; gives each job's key and state."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return connection.execute("SELECT key, state FROM job ORDER BY seq").fetchall()


async def a_stopped_daemon(daemon: Daemon) -> None:
    for _ in range(40):  # enough for several pages
        await daemon.submit(NEVER, os.urandom(32).hex())
    assert await daemon.stop() == 0


async def test_garbage_in_the_log_costs_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await a_stopped_daemon(daemon)
        before = sound(daemon.state / DATABASE)
        (daemon.state / f"{DATABASE}-wal").write_bytes(b"\xa5" * 40_000)
        await daemon.start()
        assert [key for key, _ in before] == [
            item["key"] for item in (await daemon.call("GET", FETCH))[1]["items"]
        ]


async def test_an_empty_file_that_nobody_has_used_is_filled(tmp_path: Path) -> None:
    """What a power cut in the middle of the very first start leaves."""
    daemon = Daemon(tmp_path)
    daemon.configure()
    daemon.state.mkdir()
    (daemon.state / DATABASE).touch()
    await daemon.add_user()
    assert sound(daemon.state / DATABASE) == []


async def test_damage_while_it_runs_is_told_and_never_guessed_around(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        keys = [await daemon.submit(NEVER, os.urandom(32).hex()) for _ in range(40)]
        database = daemon.state / DATABASE
        execute(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        garbage_in_pages(database)
        # Another writer makes the daemon's own memory of the pages void.
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 2")
        try:
            status, body = await daemon.call("GET", f"{FETCH}/{keys[0]}")
            assert status == 500, body
            # The session lies in the same file, so the code may come of looking for it.
            assert body["error"]["type"] == "StorageFailed"
            assert body["error"]["details"] == {"code": "database_corrupt"}
            assert "spsd doctor" in body["error"]["message"]
        except OSError:  # it has ended, and refuses to start again
            pass
        await daemon.kill()
        assert "database_corrupt" in await refused(daemon)


async def test_a_lock_while_it_runs(iso: Path, tmp_path: Path) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path) as daemon:
        async with held(daemon.state / DATABASE) as pid:
            writing = asyncio.create_task(
                daemon.call("POST", FETCH, json={"url": NEVER, "checksum": {"sha256": "0" * 64}})
            )
            reads = 0
            while not writing.done():
                status, document = await daemon.call("GET", FETCH)
                assert (status, document["items"]) == (200, [])
                reads += 1
                await asyncio.sleep(POLL_S)  # the pace of a reader
            status, body = await writing
            assert status == 503, body
            assert body["error"]["type"] == "StorageBusy"
            assert body["error"]["details"] == {"code": "database_locked"}
            assert f"process {pid} (python" in body["error"]["message"]
            assert reads > 10  # five seconds' worth; one that waits with the writer is one
            # Shorter than the busy time: a client need not know.
            late = asyncio.create_task(daemon.submit(origin.url("/image.iso"), sha256(iso)))
            await asyncio.sleep(0.2)  # it waits inside SQLite, where nobody sees it
            assert not late.done()
        assert (await daemon.over(await late))["status"] == "finished"
        assert len((await daemon.call("GET", FETCH))[1]["items"]) == 1


async def test_a_running_job_waits_for_a_lock(tmp_path: Path) -> None:
    iso = tmp_path / "image.iso"
    build_iso(iso, size=8 * 1024 * 1024)
    settings = {"fetch": {"rate_limit_bytes_per_s": 8 * 1024 * 1024}}
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path, **settings) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        await daemon.until(key, lambda body: body["status"] == "in-progress")
        async with held(daemon.state / DATABASE):
            await asyncio.sleep(6)  # longer than the busy time, five seconds: that is what is tried
            assert (await daemon.job(key))["status"] == "in-progress"
        assert (await daemon.over(key))["status"] == "finished"
        assert daemon.image(1).read_bytes() == iso.read_bytes()


async def test_a_lock_at_start(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        key = await daemon.submit(NEVER, "0" * 64)
        assert await daemon.stop() == 0
        async with held(daemon.state / DATABASE) as pid:
            line = await refused(daemon)
        assert "database_locked" in line
        assert f"held by process {pid} (python" in line
        assert line.count("\n") == 1
        async with held(daemon.state / DATABASE):
            starting = asyncio.create_task(daemon.start())
            await asyncio.sleep(0.5)  # it waits inside SQLite, where nobody sees it
        await starting  # shorter than the busy time
        assert (await daemon.job(key))["status"] in ("queued", "in-progress", "failed")


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        line = await refused(daemon)
        assert line == (
            f"spsd: {daemon.state}: another spsd already works in this state directory\n"
        )
        assert (await daemon.call("GET", FETCH))[0] == 200


@needs_root
async def test_a_read_only_file_system_at_start(disk: Path) -> None:
    async with running(disk) as daemon:
        key = await daemon.submit(NEVER, "0" * 64)
        assert await daemon.stop() == 0
        remounted(disk, "ro")
        try:
            line = await refused(daemon)
        finally:
            remounted(disk, "rw")
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
            wanted = {"url": NEVER, "checksum": {"sha256": "0" * 64}}
            status, body = await daemon.call("POST", FETCH, json=wanted)
            assert (status, body["error"]["type"]) == (500, "StorageFailed")
            assert body["error"]["details"]["code"] in ("database_read_only", "database_unreadable")
            assert (await daemon.job(key))["status"] == "finished"
            assert (await daemon.call("GET", f"{FETCH}/x"))[0] == 404
            await daemon.kill()
            assert "cannot be used: Read-only file system" in await refused(daemon)
            await asyncio.to_thread(fail.repair)
            await daemon.start()
            assert [one["key"] for one in (await daemon.call("GET", FETCH))[1]["items"]] == [key]
            assert daemon.image(1).read_bytes() == iso.read_bytes()
            await daemon.kill()


def remounted(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)


@needs_root
async def test_a_full_disk_at_start(disk: Path) -> None:
    daemon = Daemon(disk)
    daemon.configure()
    await asyncio.to_thread(fill, disk)
    line = await refused(daemon)
    assert line.count("\n") == 1, line
    assert "No space left" in line or "database_full" in line
    (disk / FILLER).unlink()
    async with running(disk, by_command=True) as daemon:
        await daemon.submit(NEVER, "0" * 64)


@needs_root
async def test_a_full_disk_while_nothing_runs(disk: Path) -> None:
    """Who asks is told so, whoever only looks is answered, and no restart is needed."""

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
        wanted = {"url": NEVER, "checksum": {"sha256": "0" * 64}}
        status, body = await daemon.call("POST", FETCH, json=wanted)
        assert (status, body["error"]["type"]) == (507, "InsufficientStorage")
        assert body["error"]["details"]["free_bytes"] == 0
        assert (await daemon.call("GET", FETCH))[1]["items"] == []
        (disk / FILLER).unlink()
        await daemon.submit(NEVER, "0" * 64)
        assert daemon.process.returncode is None


@needs_root
async def test_a_full_disk_while_it_runs(disk: Path, iso: Path, tally) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(disk) as daemon:
        kept, told = [await daemon.submit(NEVER, "0" * 64)], []
        await asyncio.to_thread(fill, disk)
        # The reserve takes some more; then there is a clear no.
        while not told:
            wanted = {"url": NEVER, "checksum": {"sha256": os.urandom(32).hex()}}
            try:
                status, body = await daemon.call("POST", FETCH, json=wanted)
            except OSError:
                break  # a running job met the full disk first, and ended the daemon
            if status == 202:
                kept.append(body["key"])
            else:
                assert (status, body["error"]["type"]) == (507, "InsufficientStorage"), body
                told.append(body)
            if await asyncio.to_thread(room_left, disk):
                await asyncio.to_thread(fill, disk)
        (disk / FILLER).unlink()
        await daemon.kill()
        jobs = sound(daemon.state / DATABASE)
        assert [key for key, _ in jobs] == kept
        await daemon.start()
        for key in kept:
            await daemon.call("DELETE", f"{FETCH}/{key}")
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        assert (await daemon.over(key))["status"] == "finished"
        tally("jobs acknowledged on a full disk, none lost", len(kept))


def room_left(disk: Path) -> int:
    return os.statvfs(disk).f_bavail


@needs_root
async def test_a_full_disk_under_a_running_job(disk: Path, iso: Path) -> None:
    """The reserve goes first, then the daemon; with room again, all goes on."""
    settings = {"fetch": {"attempts": 1000}}
    async with Origin({"/image.iso": iso}) as origin, running(disk, **settings) as daemon:
        retried = await daemon.submit(NEVER, "0" * 64)
        waiting = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        while daemon.process.returncode is None:
            await asyncio.to_thread(fill, disk)
            await asyncio.sleep(POLL_S)  # what the daemon frees meanwhile is filled again
        assert daemon.process.returncode == 1
        (disk / FILLER).unlink()
        assert [key for key, _ in sound(daemon.state / DATABASE)] == [retried, waiting]
        await daemon.start()
        assert (await daemon.job(retried))["status"] in ("queued", "in-progress")
        await daemon.call("DELETE", f"{FETCH}/{retried}")
        assert (await daemon.over(waiting))["status"] == "finished"
