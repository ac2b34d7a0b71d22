"""Partial files that outlive their job for a moment: what removes them, and what if it cannot."""

import asyncio
import dataclasses
from contextlib import suppress

import pytest

from spsd.failures import ApplianceError, FailureCode, ImageError
from spsd.jobs.lifecycle import JobState
from spsd.jobs.recovery import recover
from spsd.jobs.sqlite import SqliteJobs
from spsd.testing.origin import Hang, Origin
from spsd.transfer.staging.directory import StagingDirectory
from testbed import waiting
from tests.jobs.test_scheduler import until, until_bytes, working


class Refusing(StagingDirectory):
    """A disk from which nothing can be removed any more."""

    async def discard(self, key):
        raise ApplianceError(FailureCode.DISK, "removing the partial file failed: EIO")


class BrokenOff(SqliteJobs):
    """After a row is cancelled, nobody is there to hear of it."""

    async def move(self, seen, to):
        moved = await super().move(seen, to)
        if to.state is JobState.CANCELLED:
            raise OSError("the answer is lost")
        return moved


def refusing(bench):
    staging = Refusing(bench.root / "staging", boot="this")
    bench.resources = dataclasses.replace(bench.resources, staging=staging)


async def partial_of(bench, digest):
    async with StagingDirectory(bench.root / "staging", boot="this").open(digest) as partial:
        await partial.append(b"some bytes")
        await partial.seal()


async def test_a_cancel_outlives_a_disk_that_refuses(bench):
    refusing(bench)
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as fetching,
    ):
        job = await fetching.submit(origin.url("/a"), bench.sha256)
        await until_bytes(fetching, job.key)
        await fetching.delete(job.key)
        assert (await fetching.get(job.key)).state is JobState.CANCELLED
        # The scheduler goes on: another job gets its turn.
        await partial_of(bench, bench.sha256)
        other = await fetching.submit(origin.url("/a"), "f" * 64)
        await until(fetching, other.key, JobState.DOWNLOADING)


async def test_an_image_that_is_here_is_found_though_the_disk_refuses(bench):
    assert (await bench.fetch())[0].state is JobState.FINISHED
    await partial_of(bench, bench.sha256)
    refusing(bench)
    job, _ = await bench.fetch(slot=2)
    assert (job.state, job.slot) == (JobState.FINISHED, 1)


async def test_a_disk_that_refuses_does_not_keep_the_daemon_from_starting(bench):
    await partial_of(bench, "1" * 64)
    refusing(bench)
    job = await bench.claimed("http://x.example/")
    job = await bench.resources.jobs.move(job, dataclasses.replace(job, spent=3))
    with_ = bench.resources
    await recover(with_.jobs, with_.staging, with_.slots, budget=3, now=with_.now)
    assert (await with_.jobs.get(job.key)).state is JobState.FAILED


@pytest.mark.parametrize(
    ("code", "stays"), [(FailureCode.DIGEST, False), (FailureCode.CUT_OFF, True)]
)
async def test_the_next_start_removes_what_a_failed_job_could_not(bench, code, stays):
    await partial_of(bench, bench.sha256)
    job = await bench.claimed("http://x.example/")
    error = ImageError(code, "it is no good")
    await bench.resources.jobs.move(
        job, job.failed(error, job.progress, gained=False, budget=1, now=102)
    )
    with_ = bench.resources
    await recover(with_.jobs, with_.staging, with_.slots, budget=3, now=with_.now)
    assert bench.partials() == ([bench.sha256] if stays else [])


async def test_a_cancel_whose_answer_is_lost_leaves_nothing_in_the_end(bench):
    jobs = BrokenOff(bench.database)
    bench.resources = dataclasses.replace(bench.resources, jobs=jobs)
    async with (
        Origin({"/a": bench.content}, [Hang(100_000)]) as origin,
        working(bench) as fetching,
    ):
        job = await fetching.submit(origin.url("/a"), bench.sha256)
        await until_bytes(fetching, job.key)
        with pytest.raises(OSError, match="lost"):
            await fetching.delete(job.key)
        await waiting.until(lambda: not bench.partials())
        assert (await fetching.get(job.key)).state is JobState.CANCELLED


async def test_a_request_that_is_broken_off_cancels_the_job_all_the_same(bench):
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as fetching,
    ):
        job = await fetching.submit(origin.url("/a"), bench.sha256)
        await until_bytes(fetching, job.key)
        request = asyncio.create_task(fetching.delete(job.key))
        while (await bench.resources.jobs.get(job.key)).state is not JobState.CANCELLED:
            await asyncio.sleep(0)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        assert bench.partials() == []


async def test_a_job_of_a_request_that_is_broken_off_is_not_forgotten(bench):
    async with Origin({"/a": bench.content}) as origin, working(bench) as fetching:
        assert await fetching.list() == []  # what the first statement does besides is done
        request = asyncio.create_task(fetching.submit(origin.url("/a"), bench.sha256))
        await asyncio.sleep(0)  # the statement is on its way
        request.cancel()
        await asyncio.wait([request])
        [job] = await fetching.list()
        await until(fetching, job.key, JobState.FINISHED)


async def test_a_file_system_that_does_not_answer_fails_the_job_and_not_the_daemon(bench):
    class Mute(StagingDirectory):
        async def room_beyond(self, length):
            return await StagingDirectory(self._root / "gone", boot="this").room_beyond(length)

    bench.local_attempts.staging = Mute(bench.root / "staging", boot="this")
    job, _ = await bench.fetch()
    assert job.state is JobState.FAILED
    assert job.error.startswith("disk: reading the free space failed: No such file")
