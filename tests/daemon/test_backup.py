"""Backup of a running daemon: it fails no job, and holds a consistent past state. Restore of it."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from spsd.testing.origin import Origin
from testbed import needs
from testbed.driver import FETCH, Daemon, running
from tests.daemon.databases import run_spsd

DATABASE = "spsd.sqlite"
IMAGES = 52
ANY = {"count": 99, "accept": "any"}
Past = dict[str, list[tuple[str, str, int]]]
"""By key of each job, in order of creation: its transitions as cause, state and attempt."""


def by_python(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy, pages=5)


def by_command(source: Path, target: Path) -> None:
    subprocess.run(["sqlite3", source, f".backup '{target}'"], check=True, timeout=30)


def past_of(database: Path) -> Past:
    """The history of a sound database, whose rows agree with the last transition of each job."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        past: Past = {}
        rows = connection.execute("SELECT seq, key, cause, state, attempt FROM job ORDER BY seq")
        for seq, key, *last in rows.fetchall():
            sql = "SELECT cause, state, attempt FROM job_history WHERE job = ? ORDER BY id"
            past[key] = connection.execute(sql, (seq,)).fetchall()
            assert past[key][-1] == tuple(last)
        return past


def is_past_of(before: Past, after: Past) -> bool:
    keys = list(after)[: len(before)]
    return list(before) == keys and all(
        transitions == after[key][: len(transitions)] for key, transitions in before.items()
    )


@pytest.mark.parametrize("backup", [by_python, by_command], ids=["python", "sqlite3"])
async def test_backups_while_jobs_run(
    backup: Callable[[Path, Path], None], tmp_path: Path, tally: Callable[[str, int], None]
) -> None:
    if backup is by_command:
        needs.now(needs.program("sqlite3"))
    images = [os.urandom(20_000) for _ in range(IMAGES)]
    objects = {f"/{number}": image for number, image in enumerate(images)}
    settings = {"slots": ANY, "fetch": {"concurrent": 3}}
    async with Origin(objects) as origin, running(tmp_path, **settings) as daemon:
        source = daemon.state / DATABASE
        keys: list[str] = []
        taken: list[Path] = []

        async def submit() -> None:
            # Each image twice: the second job finds the image in its slot.
            for number in (*range(IMAGES), *range(IMAGES)):
                digest = hashlib.sha256(images[number]).hexdigest()
                keys.append(await daemon.submit(origin.url(f"/{number}"), digest))
            for key in keys:
                assert (await daemon.over(key))["status"] == "finished"

        jobs = asyncio.create_task(submit())
        while not jobs.done():
            taken.append(tmp_path / f"backup-{len(taken)}")
            await asyncio.to_thread(backup, source, taken[-1])
        await jobs
        after = past_of(source)
        assert list(after) == keys
        for before in map(past_of, taken):
            assert is_past_of(before, after)
        assert len(taken) > 2
        tally("backups of a busy daemon, each a moment of its past", len(taken))
        tally("jobs that ran meanwhile, none failed", len(keys))


async def move_database_away(daemon: Daemon) -> None:
    """The first step of a restore in docs/operating.md: move all files of the database away."""
    away = daemon.root / "away"
    await asyncio.to_thread(away.mkdir)
    for path in daemon.state.glob(f"{DATABASE}*"):
        path.rename(away / path.name)


async def test_a_restored_daemon_continues_its_jobs_and_reports_lost_images(tmp_path: Path) -> None:
    images = [os.urandom(300_000 + number) for number in range(5)]
    digests = [hashlib.sha256(image).hexdigest() for image in images]
    objects = {f"/{number}": image for number, image in enumerate(images)}
    slow = {"rate_limit_bytes_per_s": 150_000}
    async with (
        Origin(objects) as origin,
        running(tmp_path, slots={"count": 5, "accept": "any"}) as daemon,
    ):

        async def submit(number: int) -> str:
            return await daemon.submit(origin.url(f"/{number}"), digests[number])

        first = await submit(0)
        assert (await daemon.over(first))["slot_id"] == 1
        assert await daemon.stop() == 0
        daemon.fetch = slow
        daemon.configure()
        await daemon.start()
        second, third = await submit(1), await submit(2)
        await daemon.until(second, lambda body: body["bytes_downloaded"] > 0)
        copy = tmp_path / "copy"
        await asyncio.to_thread(by_python, daemon.state / DATABASE, copy)
        assert [transitions[-1][1] for transitions in past_of(copy).values()] == [
            "finished",
            "downloading",
            "queued",
        ]
        await daemon.stop()
        daemon.fetch = {}
        daemon.configure()
        await daemon.start()
        assert (await daemon.over(second))["slot_id"] == 2
        assert (await daemon.over(third))["slot_id"] == 3
        fourth = await submit(3)
        assert (await daemon.over(fourth))["slot_id"] == 4
        assert (await daemon.call("DELETE", "/api/firmware/slots/1"))[0] == 200
        assert (await daemon.call("DELETE", "/api/firmware/slots/3"))[0] == 200
        assert (await daemon.over(await submit(4)))["slot_id"] == 1
        await daemon.kill()
        await move_database_away(daemon)
        await asyncio.to_thread(shutil.copyfile, copy, daemon.state / DATABASE)
        assert (await run_spsd(daemon, "doctor", "--deep"))[0] == 0
        sent = origin.bytes_sent
        await daemon.start()
        # The image of the running job is found in its slot, and not downloaded again.
        assert (await daemon.over(second))["slot_id"] == 2
        # The image that was removed after the backup is downloaded again.
        assert (await daemon.over(third))["slot_id"] == 3
        assert origin.bytes_sent == sent + len(images[2])
        # The image of a job from after the backup stays, but has no job.
        assert (await daemon.call("GET", f"{FETCH}/{fourth}"))[0] == 404
        contents = [images[4], images[1], images[2], images[3]]
        assert [daemon.image(slot).read_bytes() for slot in daemon.filled()] == contents
        # A finished job still names its slot; the doctor reports that the image is gone.
        assert (await daemon.job(first))["status"] == "finished"
        code, output = await run_spsd(daemon, "doctor", "--deep")
        assert code == 0, output
        assert "jobs_past: images of finished jobs are no longer in their slots: 1" in output
        assert daemon.staged() == []
