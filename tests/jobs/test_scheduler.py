"""The scheduler and the use cases over real adapters: limits, cancels, stops."""

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from spsd.jobs.lifecycle import TERMINAL, JobState
from spsd.jobs.scheduler import Scheduler
from spsd.jobs.service import Downloads
from spsd.testing.origin import Hang, Origin, Whole
from testbed.waiting import until_seen


@asynccontextmanager
async def working(bench, *, concurrent=2):
    scheduler = Scheduler(
        bench.resources, bench.reservations, concurrent=concurrent, report_status=lambda _: None
    )
    downloads = Downloads(
        bench.resources.jobs, scheduler, bench.resources.board, now=bench.resources.now
    )
    task = asyncio.create_task(scheduler.run())
    try:
        yield downloads
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(downloads, key, state):
    return await until_seen(lambda: downloads.get(key), lambda job: job.state is state)


async def until_over(downloads, key):
    return await until_seen(lambda: downloads.get(key), lambda job: job.state in TERMINAL)


async def until_bytes(downloads, key, number=1):
    return await until_seen(lambda: downloads.get(key), lambda job: job.progress.done >= number)


async def test_a_job_is_fetched(bench):
    async with Origin({"/a": bench.content}) as origin, working(bench) as downloads:
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await until(downloads, job.key, JobState.FINISHED)
    assert bench.installed() == bench.content


async def test_no_more_than_the_limit_at_once(bench):
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(3)]
    async with (
        Origin({"/a": bench.content}, always=Hang(0)) as origin,
        working(bench, concurrent=1) as downloads,
    ):
        jobs = [await downloads.submit(origin.url("/a"), digest) for digest in digests]
        await origin.wait_for_requests(1)
        states = [job.state for job in await downloads.list()]
        assert states == [JobState.DOWNLOADING, JobState.QUEUED, JobState.QUEUED]
        await downloads.delete(jobs[0].key)
        await until(downloads, jobs[1].key, JobState.DOWNLOADING)
        assert (await downloads.get(jobs[2].key)).state is JobState.QUEUED


async def test_one_digest_is_never_fetched_twice_at_once(bench):
    async with Origin({"/a": bench.content}, [Hang(1000)]) as origin, working(bench) as downloads:
        first = await downloads.submit(origin.url("/a"), bench.sha256)
        second = await downloads.submit(origin.url("/a"), bench.sha256)
        await origin.wait_for_requests(1)
        assert (await downloads.get(second.key)).state is JobState.QUEUED
        await until(downloads, first.key, JobState.FINISHED)
        await until(downloads, second.key, JobState.FINISHED)
        assert len(origin.requests) == 2  # the hang and its resume; the second job found it


async def test_a_cancel_leaves_no_partial_file(bench):
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as downloads,
    ):
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await until_bytes(downloads, job.key)
        await downloads.delete(job.key)
        assert bench.partials() == []
        assert (await downloads.get(job.key)).state is JobState.CANCELLED


async def test_a_stop_refunds_the_attempt_and_keeps_the_bytes(bench):
    async with Origin({"/a": bench.content}, [Hang(100_000)], always=Whole()) as origin:
        async with working(bench) as downloads:
            job = await downloads.submit(origin.url("/a"), bench.sha256)
            await until_bytes(downloads, job.key, 100_000)
        row = await bench.resources.jobs.get(job.key)
        assert (row.state, row.spent, row.slot) == (JobState.QUEUED, 0, None)
        assert bench.partials() == [bench.sha256]
        async with working(bench) as downloads:
            await until(downloads, job.key, JobState.FINISHED)
        assert origin.requests[1].range == "bytes=100000-"


class Late:
    """A port; one of its calls waits before its work, or before it returns its result."""

    def __init__(self, real, name, *, after):
        self._real = real
        self._name = name
        self._after = after
        self._left = 0
        self.waits = asyncio.Event()
        self.resume = asyncio.Event()

    def hold(self, number=1):
        """Hold the next call, or the one after it."""
        self._left = number

    def __getattr__(self, attribute):
        method = getattr(self._real, attribute)
        if attribute != self._name:
            return method

        async def late(*args, **more):
            result = await method(*args, **more) if self._after else None
            self._left -= 1
            if self._left == 0:
                self.waits.set()
                await self.resume.wait()
            return result if self._after else await method(*args, **more)

        return late


async def test_the_next_job_of_a_digest_keeps_its_bytes_when_a_cancel_ends(bench):
    """The next job is read after the run of the cancelled job, and before the cancel ends."""
    jobs = Late(bench.resources.jobs, "next_queued", after=True)
    staging = Late(bench.resources.staging, "discard", after=False)
    bench.resources = replace(bench.resources, jobs=jobs, staging=staging)
    hanging = [Hang(100_000), Hang(100_000)]
    async with (
        Origin({"/a": bench.content}, hanging) as origin,
        working(bench) as downloads,
        asyncio.timeout(10),
    ):
        first, second = [await downloads.submit(origin.url("/a"), bench.sha256) for _ in range(2)]
        await until_bytes(downloads, first.key)
        jobs.hold()
        staging.hold(2)  # the first call is that of the run itself
        deletion = asyncio.create_task(downloads.delete(first.key))
        await jobs.waits.wait()
        jobs.resume.set()
        await until_bytes(downloads, second.key)
        staging.resume.set()
        await deletion
        job = await until_over(downloads, second.key)
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content


async def test_a_cancel_during_the_claim_ends_the_run(bench):
    """The row is claimed, and the run is not yet registered."""
    jobs = Late(bench.resources.jobs, "move", after=True)
    bench.resources = replace(bench.resources, jobs=jobs)
    async with (
        Origin({"/a": bench.content}, always=Hang(100_000)) as origin,
        working(bench) as downloads,
        asyncio.timeout(10),
    ):
        jobs.hold()
        job = await downloads.submit(origin.url("/a"), bench.sha256)
        await jobs.waits.wait()
        deletion = asyncio.create_task(downloads.delete(job.key))
        await until(downloads, job.key, JobState.CANCELLED)
        jobs.resume.set()
        await deletion
        assert bench.reservations.holder(1) is None
        assert bench.partials() == []
