"""A real disk becomes full while a job runs, at each place where the job writes."""

import asyncio
import hashlib
import os
import re
from dataclasses import replace

import pytest

from spsd.jobs.lifecycle import JobState
from spsd.jobs.run import JobRun
from spsd.transfer.attempt import LocalAttempts
from testbed.waiting import until_seen
from tests.bench import open_bench
from tests.disk import fill, free_again, needs_root, small_disk
from tests.transfer.scripted import ScriptedOrigin

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 24) as path:
        yield path


class Filling(ScriptedOrigin):
    """An origin that sends the image; the disk becomes full after ``after`` blocks."""

    def __init__(self, disk, blocks, after):
        super().__init__(content_length=str(sum(map(len, blocks))))
        self.disk, self.image_blocks, self.after = disk, blocks, after

    async def blocks(self):
        for number, block in enumerate([*self.image_blocks, b""]):
            if number == self.after:
                await self._until_written(sum(map(len, self.image_blocks[:number])))
                await asyncio.to_thread(fill, self.disk)
            if block:
                yield block

    async def _until_written(self, size):
        """Blocks are written in the background: wait until ``size`` bytes are on the disk."""
        [name] = await asyncio.to_thread(os.listdir, self.disk / "staging")
        image = self.disk / "staging" / name / "image"
        await until_seen(
            lambda: asyncio.to_thread(image.stat), lambda status: status.st_size >= size
        )


class FullAtInstall:
    """An inspector that fills the disk when it has read the image."""

    def __init__(self, inspector, disk):
        self.inspector, self.disk = inspector, disk

    async def inspect(self, key):
        info = await self.inspector.inspect(key)
        await asyncio.to_thread(fill, self.disk)
        return info


@needs_root
@pytest.mark.parametrize("after", [0, 2, 5, None], ids=["first", "middle", "sync", "install"])
async def test_a_disk_that_becomes_full_fails_the_job_and_leaves_nothing(disk, content, after):
    async with open_bench(disk, content) as bench:
        # Slot 2 holds an image, which must not change.
        earlier, _ = await bench.fetch(slot=2)
        assert earlier.state is JobState.FINISHED
        other = content[:-4096] + b"\xff" * 4096
        bench.content, bench.sha256 = other, hashlib.sha256(other).hexdigest()
        step = -(-len(other) // 5)
        blocks = [other[at : at + step] for at in range(0, len(other), step)]
        origin = Filling(disk, blocks, after)
        resources = replace(
            bench.resources,
            attempts=LocalAttempts(origin, bench.resources.staging, now=lambda: 0),
            inspector=FullAtInstall(bench.resources.inspector, disk),
        )
        job = await bench.claimed("http://origin.test/", slot=1)
        await JobRun(job, resources).run()
        job = await bench.resources.jobs.get(job.key)
        assert job.state is JobState.FAILED
        assert job.error.startswith("disk_full: ")
        assert re.search(r"needed bytes \d+, free bytes \d+", job.error), job.error
        assert bench.partials() == []
        assert not (disk / "slots" / "1").exists()
        assert bench.installed(2) == content
        await asyncio.to_thread(free_again, disk)
        job, _ = await bench.fetch(slot=1)
        assert job.state is JobState.FINISHED, job.error
        assert bench.installed(1) == other
