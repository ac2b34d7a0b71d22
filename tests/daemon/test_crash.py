"""Promises a to d: the daemon is killed at any point, and started again."""

import asyncio
import contextlib
import hashlib
from pathlib import Path

import aiohttp
import pytest

from spsd.testing.origin import CutAfter, Origin, Status
from testbed.driver import FETCH, Daemon, running
from testbed.iso import build_iso
from tests.daemon.crashing import POINTS

MIB = 1024 * 1024
WINDOW = 32 * MIB


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    path = tmp_path / "image.iso"
    build_iso(path, payload=bytes(range(256)) * 4096 * 3)
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def submit_and_crash(daemon: Daemon, url: str, digest: str) -> None:
    """Submit a job to a daemon that kills itself, perhaps before it responds."""
    with contextlib.suppress(aiohttp.ClientConnectionError):
        await daemon.submit(url, digest)
    assert daemon.process is not None
    assert await daemon.process.wait() == -9


@pytest.mark.parametrize("point", POINTS)
async def test_kill_at_every_point(point: str, iso: Path, tmp_path: Path) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path, point) as daemon:
        await submit_and_crash(daemon, origin.url("/image.iso"), sha256(iso))
        await daemon.start()
        _, document = await daemon.call("GET", FETCH)
        [item] = document["items"]
        body = await daemon.over(item["key"])
        assert body["status"] == "finished", body
        assert body["bytes_downloaded"] == body["bytes_total"] == iso.stat().st_size
        assert daemon.filled() == [body["slot_id"]]
        assert daemon.image(body["slot_id"]).read_bytes() == iso.read_bytes()
        assert daemon.staged() == []
        assert origin.bytes_sent <= iso.stat().st_size + WINDOW


async def test_a_job_is_on_disk_when_202_arrives(iso: Path, tmp_path: Path) -> None:
    async with Origin({"/image.iso": iso}) as origin, running(tmp_path) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        await daemon.kill()
        await daemon.start()
        assert (await daemon.over(key))["status"] == "finished"


async def test_a_download_continues_after_a_kill_with_a_conditional_range(tmp_path: Path) -> None:
    iso = tmp_path / "large.iso"
    build_iso(iso, size=96 * MIB)
    settings = {"fetch": {"rate_limit_bytes_per_s": 80 * MIB, "connections": 1}}
    async with Origin({"/large.iso": iso}) as origin, running(tmp_path, **settings) as daemon:
        key = await daemon.submit(origin.url("/large.iso"), sha256(iso))
        before = await daemon.until(key, lambda body: body["bytes_downloaded"] > 40 * MIB)
        assert before["status"] == "in-progress"
        await daemon.kill()
        await daemon.start()
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        first, second = origin.requests
        start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
        assert start > 40 * MIB - WINDOW
        assert second.headers["if-range"].startswith('"')
        assert first.sent + second.sent <= iso.stat().st_size + WINDOW
        assert sha256(daemon.image(body["slot_id"])) == sha256(iso)


async def test_kills_with_progress_between_them_spend_no_attempt(tmp_path: Path) -> None:
    """Twice as many kills as the job has attempts, each before a sync window is full."""
    iso = tmp_path / "large.iso"
    build_iso(iso, size=64 * MIB)
    kills = 6
    limits = {"rate_limit_bytes_per_s": 40 * MIB, "attempts": kills // 2, "connections": 1}
    settings = {"fetch": limits}
    async with Origin({"/large.iso": iso}) as origin, running(tmp_path, **settings) as daemon:
        key = await daemon.submit(origin.url("/large.iso"), sha256(iso))
        for kill in range(1, kills + 1):
            reached = kill * 6 * MIB
            await daemon.until(key, lambda body, n=reached: body["bytes_downloaded"] > n)
            await daemon.kill()
            await daemon.start()
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        assert origin.bytes_sent <= iso.stat().st_size + kills * WINDOW
        assert sha256(daemon.image(body["slot_id"])) == sha256(iso)


@pytest.mark.parametrize("polite", [True, False], ids=["stop", "kill"])
async def test_a_restart_while_waiting_for_the_next_attempt(
    polite: bool, iso: Path, tmp_path: Path
) -> None:
    """A restart ends the wait, but keeps the partial download and the spent attempts."""
    settings = {"fetch": {"backoff_initial_s": 30, "backoff_limit_s": 60, "attempts": 5}}
    cut = iso.stat().st_size // 2
    async with (
        Origin({"/image.iso": iso}, [CutAfter(cut), Status(503, retry_after=3600)]) as origin,
        running(tmp_path, **settings) as daemon,
    ):
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        for failures in (1, 2):
            await daemon.until_caused(key, "fail", failures)
            assert len(origin.requests) == failures
            async with asyncio.timeout(5):
                await (daemon.stop() if polite else daemon.kill())
            await daemon.start()
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        assert [request.range for request in origin.requests] == [
            None,
            f"bytes={cut}-",
            f"bytes={cut}-",
        ]
        assert origin.bytes_sent == iso.stat().st_size
        assert daemon.image(body["slot_id"]).read_bytes() == iso.read_bytes()


async def test_an_image_that_always_crashes_the_daemon_is_given_up(
    iso: Path, tmp_path: Path
) -> None:
    async with (
        Origin({"/image.iso": iso}) as origin,
        running(tmp_path, "before-the-rename", fetch={"attempts": 2}) as daemon,
    ):
        await submit_and_crash(daemon, origin.url("/image.iso"), sha256(iso))
        # The first attempt brought bytes and so spent nothing; these two bring none.
        for _ in range(2):
            assert await daemon.run("before-the-rename") == -9
        await daemon.start()
        _, document = await daemon.call("GET", FETCH)
        [item] = document["items"]
        assert item["body"]["status"] == "failed"
        assert item["body"]["error"].startswith("gave_up: ")
        assert daemon.filled() == []
        assert daemon.staged() == []


async def test_a_polite_stop_is_quick_and_keeps_the_bytes(tmp_path: Path) -> None:
    iso = tmp_path / "large.iso"
    build_iso(iso, size=64 * MIB)
    settings = {"fetch": {"rate_limit_bytes_per_s": 16 * MIB}}
    async with Origin({"/large.iso": iso}) as origin, running(tmp_path, **settings) as daemon:
        key = await daemon.submit(origin.url("/large.iso"), sha256(iso))
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 8 * MIB)
        async with asyncio.timeout(5):
            assert await daemon.stop() == 0
        daemon.fetch = {}
        daemon.configure()
        await daemon.start()
        assert (await daemon.over(key))["status"] == "finished"
        assert origin.requests[1].range is not None
