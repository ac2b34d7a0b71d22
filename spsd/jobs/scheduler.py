"""Which jobs run: the oldest first, a few at a time, never two of one digest."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from spsd.digest import Sha256
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
    """Claims queued rows and owns the tasks that work on them."""

    def __init__(
        self,
        resources: RunResources,
        reservations: Reservations,
        *,
        concurrent: int,
        tell: Callable[[str], None],
    ) -> None:
        """``tell`` is given a line for the operator whenever the number of running jobs changes."""
        self._resources = resources
        self._reservations = reservations
        self._tell = tell
        self._concurrent = concurrent
        self._running: dict[JobKey, _Running] = {}
        self._discarding: set[Sha256] = set()
        self._claiming = asyncio.Lock()
        self._wake = asyncio.Event()

    def use(self, *, concurrent: int, retry: RetryPolicy, spread: StartSpread) -> None:
        """Go on with another limit; budget and spread are for the jobs that start from now on.

        Running jobs run on, even if they are more than ``concurrent``.
        """
        self._concurrent = concurrent
        self._resources = replace(self._resources, retry=retry, spread=spread)
        self.wake()

    def wake(self) -> None:
        """The queue, or what stands in its way, has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; running jobs are then put back politely."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                while len(self._running) < self._concurrent:
                    if not await self._started(group):
                        break
                self._tell(f"{len(self._running)} of at most {self._concurrent} jobs running")
                await self._wake.wait()

    async def drop(self, job: Job) -> None:
        """Stop working on a job whose row is cancelled, and leave no partial file of it."""
        async with self._claiming:  # a run that begins is known by then
            running = self._running.get(job.key)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        await self.discard(job.sha256)

    async def discard(self, digest: Sha256) -> None:
        """Remove a partial file, unless a running job has it."""
        async with self._claiming:  # whoever is about to get this digest is known by then
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

    async def _started(self, group: asyncio.TaskGroup) -> bool:
        async with self._claiming:
            if (job := await self._claim()) is None:
                return False
            task = group.create_task(self._work(job), name=f"job {job.key}")
            self._running[job.key] = _Running(job, task)
            # A task that is cancelled before its first step never runs its clean-up.
            await asyncio.sleep(0)
        return True

    async def _claim(self) -> Job | None:
        """Start the next job: reserve a slot for it and charge the attempt."""
        while True:
            job = await self._resources.jobs.next_queued(without=self._busy())
            if job is None:
                return None
            slot = await self._reservations.reserve(Holder.DOWNLOAD)
            claimed = None
            try:
                claimed = await self._resources.jobs.move(
                    job, job.start(slot, now=self._resources.now())
                )
            finally:
                if claimed is None:
                    self._release(slot)
            if claimed is not None:
                return claimed

    def _release(self, slot: int | None) -> None:
        if slot is not None:
            self._reservations.release(slot)

    async def _work(self, job: Job) -> None:
        try:
            await JobRun(job, self._resources).run()
        except asyncio.CancelledError:
            await self._settle(job.key)
            raise
        finally:
            self._resources.board.clear(job.key)
            del self._running[job.key]
            self._release(job.slot)
            self.wake()

    async def _settle(self, key: JobKey) -> None:
        """After a cancelled run: put the row back, unless a client's cancel moved it."""
        job = await self._resources.jobs.get(key)
        if job is None:
            return
        if job.state in ACTIVE:
            await self._resources.jobs.move(job, job.stopped(now=self._resources.now()))
        elif job.state is JobState.CANCELLED:
            await discard_partial(self._resources.staging, download_key(job.sha256))
