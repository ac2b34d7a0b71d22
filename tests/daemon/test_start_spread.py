"""[fetch] start_spread_s: a new job waits for its start time before its first request."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from spsd.digest import Sha256
from spsd.jobs.start_spread import StartSpread
from spsd.system.host import this_appliance
from spsd.testing.origin import Origin
from testbed.driver import FETCH, Daemon, in_loop, running

OVER_S = 86_400.0
ANY = {"accept": "any"}


Image = tuple[bytes, Sha256]


@pytest.fixture
def late_image(tmp_path: Path) -> Image:
    """An image whose start time on this appliance is an hour from now or later."""
    spread = StartSpread(this_appliance().identity(tmp_path / "state"), OVER_S)
    while True:
        image = os.urandom(1000)
        digest = Sha256(hashlib.sha256(image).hexdigest())
        if spread.wait_s(digest, submitted_at=0, now=0) >= 3600:
            return image, digest


async def submit_waiting_job(daemon: Daemon, log: Path, url: str, digest: Sha256) -> str:
    key = await daemon.submit(url, digest)
    await daemon.until(key, lambda body: f"job {key}: first request in" in log.read_text())
    return key


async def test_a_cancel_does_not_wait(tmp_path: Path, late_image: Image) -> None:
    image, digest = late_image
    log = tmp_path / "log"
    async with (
        Origin({"/a": image}) as origin,
        running(tmp_path, fetch={"start_spread_s": OVER_S}, slots=ANY, log=log) as daemon,
    ):
        key = await submit_waiting_job(daemon, log, origin.url("/a"), digest)
        body = await daemon.job(key)
        assert (body["status"], body["bytes_downloaded"]) == ("in-progress", 0)
        begun = time.monotonic()
        assert (await daemon.call("DELETE", f"{FETCH}/{key}"))[0] == 200
        assert (await daemon.job(key))["status"] == "cancelled"
        assert time.monotonic() - begun < 1, "promise e"
        assert origin.requests == []
        assert daemon.staged() == []


async def test_a_kill_does_not_end_the_wait_but_a_new_setting_does(
    tmp_path: Path, late_image: Image
) -> None:
    image, digest = late_image
    log = tmp_path / "log"
    async with (
        Origin({"/a": image}) as origin,
        running(tmp_path, fetch={"start_spread_s": OVER_S}, slots=ANY, log=log) as daemon,
    ):
        key = await submit_waiting_job(daemon, log, origin.url("/a"), digest)
        await daemon.kill()
        log.write_text("")
        await daemon.start()
        line = f"job {key}: first request in"
        await daemon.until(key, lambda body: line in log.read_text())
        assert origin.requests == []
        await daemon.stop()
        daemon.fetch["start_spread_s"] = 0.0
        daemon.configure()
        await daemon.start()
        assert (await daemon.over(key))["status"] == "finished"


async def test_an_installed_image_is_not_waited_for(tmp_path: Path, late_image: Image) -> None:
    image, digest = late_image
    async with (
        Origin({"/a": image}) as origin,
        in_loop(tmp_path, slots=ANY) as daemon,
    ):
        await daemon.over(await daemon.submit(origin.url("/a"), digest))
        await daemon.stop()
        daemon.fetch["start_spread_s"] = OVER_S
        daemon.configure()
        await daemon.start()
        again = await daemon.over(await daemon.submit(origin.url("/a"), digest))
        assert again["status"] == "finished"
        assert len(origin.requests) == 1


def test_the_identity_of_an_appliance_is_stable_and_unique(tmp_path: Path) -> None:
    here, there = (this_appliance().identity(tmp_path / name) for name in ("here", "there"))
    assert here == this_appliance().identity(tmp_path / "there" / ".." / "here")
    assert here != there
