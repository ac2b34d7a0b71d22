"""Partial files that remain after the end of their job: what removes them, and if that fails."""

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


class NoDiscard(StagingDirectory):
    """A disk from which nothing can be removed any more."""

    async def discard(self, key):
        raise ApplianceError(FailureCode.DISK, "removing the partial file failed: EIO")


class LostResult(SqliteJobs):
    """The result of the transition to CANCELLED is lost; the row is changed."""

    async def move(self, before, after):
        moved = await super().move(before, after)
        if after.state is JobState.CANCELLED:
            raise OSError("the result is lost")
        return moved


def without_discard(bench):
    staging = NoDiscard(bench.root / "staging", boot="this")
    bench.resources = dataclasses.replace(bench.resources, staging=staging)


async def make_partial(bench, digest):
    async with StagingDirectory(bench.root / "staging", boot="this").open(digest) as partial:
        await partial.append(b"some bytes")
        await partial.seal()


async def test_a_cancel_succeeds_if_the_partial_file_cannot_be_removed(bench):
    without_discard(bench)
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as downloads,
    ):
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await until_bytes(downloads, job.key)
        await downloads.delete(job.key)
        assert (await downloads.get(job.key)).state is JobState.CANCELLED
        # The scheduler continues: another job starts.
        await make_partial(bench, bench.sha256)
        other = await downloads.submit(origin.url("/a"), "f" * 64)
        await until(downloads, other.key, JobState.DOWNLOADING)


async def test_an_installed_image_is_found_if_the_partial_file_cannot_be_removed(bench):
    assert (await bench.fetch())[0].state is JobState.FINISHED
    await make_partial(bench, bench.sha256)
    without_discard(bench)
    job, _ = await bench.fetch(slot=2)
    assert (job.state, job.slot) == (JobState.FINISHED, 1)


async def test_recovery_succeeds_if_the_partial_file_cannot_be_removed(bench):
    await make_partial(bench, "1" * 64)
    without_discard(bench)
    job = await bench.claimed("http://x.example/")
    job = await bench.resources.jobs.move(job, dataclasses.replace(job, spent=3))
    resources = bench.resources
    await recover(resources.jobs, resources.staging, resources.slots, budget=3, now=resources.now)
    assert (await resources.jobs.get(job.key)).state is JobState.FAILED


@pytest.mark.parametrize(
    ("code", "is_kept"), [(FailureCode.DIGEST, False), (FailureCode.CUT_OFF, True)]
)
async def test_recovery_removes_the_partial_file_of_a_failed_job(bench, code, is_kept):
    await make_partial(bench, bench.sha256)
    job = await bench.claimed("http://x.example/")
    error = ImageError(code, "a failure")
    await bench.resources.jobs.move(
        job, job.failed(error, job.progress, gained=False, budget=1, now=102)
    )
    resources = bench.resources
    await recover(resources.jobs, resources.staging, resources.slots, budget=3, now=resources.now)
    assert bench.partials() == ([bench.sha256] if is_kept else [])


async def test_a_cancel_whose_result_is_lost_leaves_no_partial_file(bench):
    jobs = LostResult(bench.database)
    bench.resources = dataclasses.replace(bench.resources, jobs=jobs)
    async with (
        Origin({"/a": bench.content}, [Hang(100_000)]) as origin,
        working(bench) as downloads,
    ):
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await until_bytes(downloads, job.key)
        with pytest.raises(OSError, match="lost"):
            await downloads.delete(job.key)
        await waiting.until(lambda: not bench.partials())
        assert (await downloads.get(job.key)).state is JobState.CANCELLED


async def test_a_cancel_is_completed_if_its_request_is_cancelled(bench):
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as downloads,
    ):
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await until_bytes(downloads, job.key)
        request = asyncio.create_task(downloads.delete(job.key))
        while (await bench.resources.jobs.get(job.key)).state is not JobState.CANCELLED:
            await asyncio.sleep(0)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        assert bench.partials() == []


async def test_a_job_is_run_if_its_request_is_cancelled(bench):
    async with Origin({"/a": bench.content}) as origin, working(bench) as downloads:
        assert await downloads.list() == []  # the extra work of the first statement is done
        request = asyncio.create_task(downloads.submit(origin.url("/a"), bench.sha256))
        await asyncio.sleep(0)  # the statement is being executed
        request.cancel()
        await asyncio.wait([request])
        [job] = await downloads.list()
        await until(downloads, job.key, JobState.FINISHED)


async def test_a_file_system_without_free_space_report_fails_only_the_job(bench):
    class NoFreeSpaceReport(StagingDirectory):
        async def room_beyond(self, length):
            return await StagingDirectory(self._root / "gone", boot="this").room_beyond(length)

    bench.local_attempts.staging = NoFreeSpaceReport(bench.root / "staging", boot="this")
    job, _ = await bench.fetch()
    assert job.state is JobState.FAILED
    assert job.error.startswith("disk: reading the free space failed: No such file")
