"""A disk that loses writes: after a failed write or sync only the durable bytes count.

The page cache of these tests behaves as Linux does: after a failed sync the file still reads as
written, and the next sync succeeds.
"""

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest

from spsd.failures import ApplianceError, FailureCode
from spsd.jobs.lifecycle import JobState
from spsd.jobs.run import JobRun
from spsd.slots.copy import copy_image
from spsd.testing.origin import CutAfter, Origin, Whole
from spsd.transfer.rules.messages import ResponseHead
from spsd.transfer.staging.directory import StagingDirectory
from spsd.transfer.staging.partial_file import RECORD
from tests.bench import PATH

DIGEST = "d" * 64
URL = "http://x/y"
HEAD = ResponseHead(200, {"etag": '"a"'})
CONTENT = random.Random(5).randbytes(100_000)
WINDOW, PAGE = 10_000, 4096
BOOT = "this boot"


class Disk:
    """Fails chosen calls, by number from 1; ``broken``: also the calls that would repair."""

    def __init__(self, monkeypatch, *, syncs=(), writes=(), broken=False):
        self.syncs = self.writes = 0
        self.broken_now = False
        real = {name: getattr(os, name) for name in ("fdatasync", "pwrite", "ftruncate", "fsync")}

        def fdatasync(descriptor):
            self.syncs += 1
            if self.syncs in syncs:
                self.broken_now = broken
                raise OSError(errno.EIO, "lost")
            real["fdatasync"](descriptor)

        def pwrite(descriptor, block, offset):
            self.writes += 1
            if self.writes in writes:
                self.broken_now = broken
                raise OSError(errno.EIO, "lost")
            return real["pwrite"](descriptor, block, offset)

        def refused(name):
            def call(*args):
                if self.broken_now:
                    raise OSError(errno.EROFS, "read-only")
                return real[name](*args)

            return call

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        monkeypatch.setattr(os, "pwrite", pwrite)
        monkeypatch.setattr(os, "ftruncate", refused("ftruncate"))
        monkeypatch.setattr(os, "fsync", refused("fsync"))


def staging_in(root: Path) -> StagingDirectory:
    return StagingDirectory(root, boot=BOOT, sync_window=WINDOW, block=PAGE)


async def append_all(partial, content):
    await partial.append(content[partial.length :])
    await partial.seal()


async def appended(staging, content=CONTENT):
    """Append all of the content, which the disk refuses."""
    async with staging.open(DIGEST) as partial:
        await partial.describe(URL, HEAD, len(content))
        with pytest.raises(ApplianceError) as caught:
            await append_all(partial, content)
        assert caught.value.code is FailureCode.DISK
        # No later use of this object gives a digest: the next sync would succeed.
        for use in (partial.seal(), partial.digest(), partial.read(0, 10)):
            with pytest.raises(ApplianceError):
                await use


@pytest.mark.parametrize("broken", [False, True], ids=["repairable", "refuses-repair"])
@pytest.mark.parametrize(
    "faults", [{"syncs": [1]}, {"syncs": [3]}, {"writes": [1]}, {"writes": [9]}]
)
async def test_only_durable_bytes_count_in_the_same_process(tmp_path, monkeypatch, faults, broken):
    disk = Disk(monkeypatch, **faults, broken=broken)
    staging = staging_in(tmp_path)
    await appended(staging)
    successes = disk.syncs - len(faults.get("syncs", []))
    disk.broken_now = False
    async with staging.open(DIGEST) as partial:
        assert partial.length % PAGE == 0
        assert partial.length <= successes * (WINDOW + PAGE)
        if successes:
            assert partial.length > 0
        assert await partial.read(0, len(CONTENT)) == CONTENT[: partial.length]
        await partial.describe(URL, HEAD, len(CONTENT))
        await partial.append(CONTENT[partial.length :])
        assert await partial.seal() == hashlib.sha256(CONTENT).hexdigest()
    # The mark of the failure does not cut what was written after it.
    async with staging.open(DIGEST) as partial:
        assert partial.length == len(CONTENT)


@pytest.mark.parametrize("sync", [1, 4])
@pytest.mark.parametrize("lost", ["ftruncate", "record"])
async def test_each_of_the_two_repairs_is_enough_for_another_process(
    tmp_path, monkeypatch, sync, lost
):
    Disk(monkeypatch, syncs=[sync])
    if lost == "ftruncate":
        real = os.ftruncate

        def refused(descriptor, length):
            if real_length := os.fstat(descriptor).st_size:
                raise OSError(errno.EIO, f"not from {real_length}")
            real(descriptor, length)

        with monkeypatch.context() as patched:
            patched.setattr(os, "ftruncate", refused)
            await appended(staging_in(tmp_path))
        assert (tmp_path / DIGEST / "image").stat().st_size > sync * WINDOW - 1
    else:
        kept = None
        real_truncate = os.ftruncate

        def keep_record(descriptor, length):
            # The record is put back to that of before the failure.
            if kept is not None:
                (tmp_path / DIGEST / RECORD).write_bytes(kept)
            real_truncate(descriptor, length)

        with monkeypatch.context() as patched:
            patched.setattr(os, "ftruncate", keep_record)
            async with staging_in(tmp_path).open(DIGEST) as partial:
                await partial.describe(URL, HEAD, len(CONTENT))
            kept = (tmp_path / DIGEST / RECORD).read_bytes()
            await appended(staging_in(tmp_path))
    async with staging_in(tmp_path).open(DIGEST) as partial:
        assert partial.length <= (sync - 1) * (WINDOW + PAGE)
        assert await partial.read(0, len(CONTENT)) == CONTENT[: partial.length]


async def test_a_failed_last_sync_gives_no_digest(tmp_path, monkeypatch):
    """The file is complete, and only the sync of its last bytes fails."""
    content = CONTENT[: WINDOW - 1]
    Disk(monkeypatch, syncs=[1])
    await appended(staging_in(tmp_path), content)
    async with staging_in(tmp_path).open(DIGEST) as partial:
        assert partial.length == 0


async def test_a_write_that_a_killed_process_lost_is_reported_at_the_next_open(
    tmp_path, monkeypatch
):
    """Linux reports it to the first sync of the file that is opened next."""
    content = CONTENT[: WINDOW - 1]
    async with staging_in(tmp_path).open(DIGEST) as partial:
        await partial.describe(URL, HEAD, len(content))
        await partial.append(content)
    Disk(monkeypatch, syncs=[1])
    with pytest.raises(ApplianceError):
        async with staging_in(tmp_path).open(DIGEST):
            pytest.fail("its bytes are not on the disk")
    async with staging_in(tmp_path).open(DIGEST) as partial:
        assert partial.length == 0


@pytest.mark.parametrize("broken", [False, True], ids=["repairable", "refuses-repair"])
async def test_the_next_job_asks_the_origin_again(bench, monkeypatch, broken):
    """The whole life: the image is complete, its last sync fails, and the next job installs it."""
    disk = Disk(monkeypatch, syncs=[1], broken=broken)
    job, requests = await bench.fetch(Whole())
    assert job.state is JobState.FAILED
    assert job.error.startswith("disk: ")
    assert sum(request.sent for request in requests) == len(bench.content)
    assert not (bench.root / "slots" / "1").exists()
    disk.broken_now = False
    job, requests = await bench.fetch(Whole())
    assert job.state is JobState.FINISHED
    assert sum(request.sent for request in requests) == len(bench.content)
    assert bench.installed() == bench.content


async def test_an_unexpected_exception_of_a_write_is_one_of_the_disk_too(bench, monkeypatch):
    """The blocks that wait behind it are not written at its position."""
    real, calls = os.pwrite, []

    def pwrite(descriptor, block, offset):
        calls.append(offset)
        if len(calls) == 1:
            raise MemoryError
        return real(descriptor, block, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    async with Origin({PATH: bench.content}, [CutAfter(100_000)]) as origin:
        job = await bench.claimed(origin.url(PATH))
        with pytest.raises(MemoryError):
            await JobRun(job, bench.resources).run()
    assert calls == [0]
    assert (bench.root / "staging" / bench.sha256 / "image").stat().st_size == 0


def test_a_copy_whose_sync_fails_is_no_image(tmp_path, monkeypatch):
    """The error leaves the copy under its hidden name, which the caller removes."""
    (tmp_path / "source").write_bytes(CONTENT)

    def fsync(_):
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="lost"):
        copy_image(tmp_path / "source", tmp_path / "copy")
