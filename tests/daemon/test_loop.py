"""The event loop of downloads: what ends it ends the daemon; its threads are nicer."""

import asyncio
import hashlib
import os
from pathlib import Path

from spsd.testing.origin import Hang, Origin
from testbed.driver import running


async def test_the_end_of_the_loop_ends_the_daemon(tmp_path: Path) -> None:
    content = b"image"
    async with (
        Origin({"/image": content}) as origin,
        running(tmp_path, "end-of-the-second-loop", slots={"accept": "any"}) as daemon,
    ):
        key = await daemon.submit(origin.url("/image"), hashlib.sha256(content).hexdigest())
        assert daemon.process is not None
        async with asyncio.timeout(20):
            assert await daemon.process.wait() == 1
        await daemon.start()
        assert (await daemon.over(key))["status"] == "finished"


async def test_a_bug_in_an_attempt_fails_its_job_alone(tmp_path: Path) -> None:
    content = b"image"
    async with (
        Origin({"/image": content}) as origin,
        running(tmp_path, "bug-in-an-attempt", slots={"accept": "any"}) as daemon,
    ):
        digest = hashlib.sha256(content).hexdigest()
        job = await daemon.over(await daemon.submit(origin.url("/image"), digest))
        assert job["status"] == "failed"
        assert job["error"].startswith("internal: ")
        assert await daemon.stop() == 0
        await daemon.start()
        key = await daemon.submit(origin.url("/image"), digest)
        assert (await daemon.over(key))["status"] == "finished"


async def test_downloads_run_at_a_lower_priority_than_requests(tmp_path: Path) -> None:
    async with (
        Origin({"/image": b"image"}, always=Hang(3)) as origin,
        running(tmp_path, slots={"accept": "any"}) as daemon,
    ):
        key = await daemon.submit(origin.url("/image"), "a" * 64)
        await daemon.until(key, lambda body: body["bytes_downloaded"] == 3)
        assert daemon.process is not None
        nice = {
            int(thread.name): niceness(thread)
            for thread in Path(f"/proc/{daemon.process.pid}/task").iterdir()
        }
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert nice.pop(daemon.process.pid) == ours
        # The threads of the second loop and of its file writes; those of SQLite are not nicer.
        assert sorted(nice.values()).count(min(19, ours + 10)) >= 2, nice
        assert ours in nice.values()


def niceness(thread: Path) -> int:
    # proc(5): field 19; field 2 is the name in brackets, which may contain blanks.
    return int((thread / "stat").read_text().rpartition(") ")[2].split()[16])
