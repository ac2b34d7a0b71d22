"""Starts jobs: the oldest first, a limited number at a time, never two with the same digest."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from spsd.digest import Sha256
from spsd.jobs.containment import Contained, final_error
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import ACTIVE, JobState
from spsd.jobs.run import JobRun, RunResources
from spsd.jobs.start_spread import StartSpread
from spsd.slots.reservations import Holder, Reservations
from spsd.transfer.discard import discard_partial
from spsd.transfer.ports import download_key
from spsd.transfer.rules.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class _Running:
    job: Job
    task: asyncio.Task[None]


class Scheduler:
    """Claims queued rows and owns the tasks that run them."""

    def __init__(
        self,
        resources: RunResources,
        reservations: Reservations,
        *,
        concurrent: int,
        report_status: Callable[[str], None],
    ) -> None:
        """Run at most ``concurrent`` jobs at a time.

        ``report_status`` is called with a line for the operator after each change of the number of
        running jobs.
        """
        self._resources = resources
        self._reservations = reservations
        self._report_status = report_status
        self._concurrent = concurrent
        self._running: dict[JobKey, _Running] = {}
        self._discarding: set[Sha256] = set()
        self._claiming = asyncio.Lock()
        self._wake = asyncio.Event()

    def reconfigure(self, *, concurrent: int, retry: RetryPolicy, spread: StartSpread) -> None:
        """Replace the limit, and the retry policy and spread of jobs that start from now on.

        Running jobs continue, even if they are more than ``concurrent``.
        """
        self._concurrent = concurrent
        self._resources = replace(self._resources, retry=retry, spread=spread)
        self.wake()

    def wake(self) -> None:
        """Look at the queue again: a job was added, or another one may be able to start."""
        self._wake.set()

    async def run(self) -> None:
        """Start jobs until cancelled; the running jobs are then stopped and queued again."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                while len(self._running) < self._concurrent:
                    if not await self._start_next(group):
                        break
                self._report_status(
                    f"{len(self._running)} of at most {self._concurrent} jobs running"
                )
                await self._wake.wait()

    async def drop(self, job: Job) -> None:
        """Stop the run of a job whose row is CANCELLED, and remove its partial file."""
        async with self._claiming:  # wait until a claimed run is registered
            running = self._running.get(job.key)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        await self.discard(job.sha256)

    async def discard(self, digest: Sha256) -> None:
        """Remove a partial file, unless a running job uses it."""
        async with self._claiming:  # wait until a claimed run is registered
            if digest in self._busy():
                return
            self._discarding.add(digest)
        try:
            await discard_partial(self._resources.staging, download_key(digest))
        finally:
            self._discarding.discard(digest)
            self.wake()

    def _busy(self) -> set[Sha256]:
        return {running.job.sha256 for running in self._running.values()} | self._discarding

    async def _start_next(self, group: asyncio.TaskGroup) -> bool:
        """Claim a job and start its task; False: no job can start now."""
        async with self._claiming:
            if (claim := await self._claim()) is None:
                return False
            job, failure = claim
            task = group.create_task(self._work(job, failure), name=f"job {job.key}")
            self._running[job.key] = _Running(job, task)
            # Let the task begin: a task that is cancelled before its first step never executes its
            # clean-up.
            await asyncio.sleep(0)
        return True

    async def _claim(self) -> tuple[Job, Exception | None] | None:
        """Claim the next job: reserve a slot and charge the attempt; None: no job can start.

        A job is claimed without a slot if none is empty: its run may still find the image in a
        slot, and else fails with the code ``no_slot``. The exception is that of a reservation that
        failed: the job fails of it.
        """
        while True:
            job = await self._resources.jobs.next_queued(without=self._busy())
            if job is None:
                return None
            slot = claimed = None
            with Contained(f"job {job.key}: the reservation of a slot", job.key) as reserving:
                slot = await self._reservations.reserve(Holder.DOWNLOAD)
            try:
                claimed = await self._resources.jobs.move(
                    job, job.start(slot, now=self._resources.now())
                )
            finally:
                if claimed is None:
                    self._release(slot)
            if claimed is not None:
                return claimed, reserving.error

    def _release(self, slot: int | None) -> None:
        if slot is not None:
            self._reservations.release(slot)

    async def _work(self, job: Job, failure: Exception | None) -> None:
        """Run the job, or fail it if ``failure`` is given; no exception of a job leaves this."""
        try:
            with Contained(f"job {job.key}: the run", job.key) as run:
                if failure is None:
                    await JobRun(job, self._resources).run()
            if (error := failure or run.error) is not None:
                await self._fail(job.key, error)
        except asyncio.CancelledError:
            with Contained(f"job {job.key}: the end of a cancelled run", job.key):
                await self._settle(job.key)
            raise
        finally:
            self._resources.board.clear(job.key)
            del self._running[job.key]
            self._release(job.slot)
            self.wake()

    async def _fail(self, key: JobKey, error: Exception) -> None:
        """Fail the job, whatever its row is by now, unless it is over.

        The run may have changed the row before its exception, so the row is read again. The partial
        file stays: each byte in it was written and hashed, or it is truncated when it is opened.
        """
        resources = self._resources
        while (job := await resources.jobs.get(key)) is not None and job.state in ACTIVE:
            latest, now = resources.board.latest(job), resources.now()
            failed = job.failed(final_error(error), latest, gained=False, budget=0, now=now)
            if await resources.jobs.move(job, failed) is not None:
                return

    async def _settle(self, key: JobKey) -> None:
        """After a cancelled run: queue an active row again; a cancelled one loses its bytes."""
        job = await self._resources.jobs.get(key)
        if job is None:
            return
        if job.state in ACTIVE:
            await self._resources.jobs.move(job, job.stopped(now=self._resources.now()))
        elif job.state is JobState.CANCELLED:
            await discard_partial(self._resources.staging, download_key(job.sha256))
