"""The event loop of downloads: unexpected errors end the daemon; its threads are nicer."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from spsd.testing.origin import Hang, Origin
from testbed.driver import running
from tests.daemon.crashing import BUGS


@pytest.mark.parametrize("point", BUGS)
async def test_an_unexpected_error_in_an_attempt_ends_the_daemon(
    point: str, tmp_path: Path
) -> None:
    content = b"image"
    async with (
        Origin({"/image": content}) as origin,
        running(tmp_path, point, slots={"accept": "any"}) as daemon,
    ):
        key = await daemon.submit(origin.url("/image"), hashlib.sha256(content).hexdigest())
        assert daemon.process is not None
        async with asyncio.timeout(20):
            assert await daemon.process.wait() == 1
        await daemon.start()
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
