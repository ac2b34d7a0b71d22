"""The run of one job: find the image in a slot, or fetch, verify and install it.

A run holds a lease on its job's row: each of its transitions changes the row only if it is still as
the run has left it. If another transition has won (a client's cancel), the lease is lost, and the
run ends without a further transition.
"""

import asyncio
import logging
from dataclasses import dataclass

from spsd.cancellation import to_completion
from spsd.clock import Now
from spsd.failures import EXPLANATIONS, ApplianceError, FailureCode, ImageError, JobError
from spsd.jobs.fetch import Fetch
from spsd.jobs.job import Job
from spsd.jobs.lifecycle import JobState
from spsd.jobs.ports import JobRepository
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.start_spread import StartSpread
from spsd.slots.model import InstalledImage
from spsd.slots.ports import ImageInspector, SlotStore
from spsd.slots.service import find_installed
from spsd.transfer.discard import discard_partial
from spsd.transfer.ports import Attempts, AttemptStoppedError, Progress, Staging, download_key
from spsd.transfer.rules.retry import RetryPolicy

_log = logging.getLogger(__name__)
_WAITS = "job %s: first request in %.1f s, because of [fetch] start_spread_s"


@dataclass(frozen=True, slots=True)
class RunResources:
    """The adapters and settings that all runs share."""

    jobs: JobRepository
    staging: Staging
    slots: SlotStore
    inspector: ImageInspector
    attempts: Attempts
    board: ProgressBoard
    retry: RetryPolicy
    spread: StartSpread
    now: Now


class LeaseLostError(AttemptStoppedError):
    """Another transition won; this run must end."""


class JobRun:
    """The run of a claimed job; it is the :class:`~spsd.jobs.fetch.Lease` on the job's row."""

    def __init__(self, claimed: Job, resources: RunResources) -> None:
        self._job = claimed
        self._resources = resources
        self._key = download_key(claimed.sha256)

    @property
    def job(self) -> Job:
        """The row after this run's last transition."""
        return self._job

    @property
    def retry_policy(self) -> RetryPolicy:
        """How many attempts the job may make, and after which delays."""
        return self._resources.retry

    async def run(self) -> None:
        """Run the job until it is in a terminal state, by this run or by a client's cancel."""
        try:
            try:
                # Step 1: a slot that already holds the image ends the job without a request.
                if not await self._finish_from_slot():
                    # Step 2: fetch and verify. Until the row is INSTALLING, a client can cancel.
                    await self._fetch()
                    # Step 3: install. It is completed even if this task is cancelled.
                    await to_completion(self._install())
            except JobError as error:
                # Remove the partial file before the row is changed: on a full disk, the write of
                # the row needs the space.
                if isinstance(error, ImageError) or not EXPLANATIONS[error.code].keeps_partial:
                    await discard_partial(self._resources.staging, self._key)
                await self._move(self._job_after(error, gained_bytes=False))
        except LeaseLostError:
            # A client's cancel, whose request may have ended before it could stop this run.
            await discard_partial(self._resources.staging, self._key)

    async def _finish_from_slot(self) -> bool:
        """Finish the job if a slot already holds the image, intact; False: no slot does."""
        held = await find_installed(self._resources.slots, self._job.sha256)
        if held is None:
            return False
        number, image = held
        await self._move(self._job.found(number, image.size, now=self._resources.now()))
        await discard_partial(self._resources.staging, self._key)
        return True

    async def _fetch(self) -> None:
        """Fetch into the partial file and verify its digest.

        Raises:
            JobError: no slot is reserved, or there must be no further attempt.
        """
        resources = self._resources
        if self._job.slot is None:
            raise ApplianceError(FailureCode.NO_SLOT, "there is no empty slot")
        await self._wait_for_turn()
        async with resources.staging.open(self._key) as partial:
            evidence = await Fetch(self, partial, resources.attempts).run()
            await self._move(self._job.verified(partial.length, evidence, now=resources.now()))

    async def _wait_for_turn(self) -> None:
        """Wait for this appliance's turn in the fleet (:class:`StartSpread`)."""
        job, resources = self._job, self._resources
        wait_s = resources.spread.wait_s(
            job.sha256, submitted_at=job.created_at, now=resources.now()
        )
        if wait_s > 0:
            _log.info(_WAITS, job.key, wait_s, extra={"job": job.key, "action": "wait"})
        await asyncio.sleep(wait_s)

    async def _install(self) -> None:
        job, resources = self._job, self._resources
        if job.slot is None:
            raise ValueError("a job without a reserved slot cannot be installed")
        image = InstalledImage(
            sha256=job.sha256,
            size=job.progress.total,
            info=await resources.inspector.inspect(self._key),
            job=job.key,
            installed_at=resources.now(),
        )
        # The image first, the row last: a crash in between leaves an installed image whose row
        # recovery finishes. In the other order it would leave a finished job without an image.
        await resources.slots.install(job.slot, image, self._key)
        await self._move(job.installed(now=resources.now()))

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Publish the progress; more new bytes than the stall floor renew the budget."""
        self._resources.board.post(self._job.key, progress)
        if self._job.spent > 0 and new_bytes > self.retry_policy.stall_floor:
            await self._move(self._job.advanced(progress, now=self._resources.now()))

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Record a failed attempt and charge the next one.

        Raises:
            JobError: ``error`` itself, if there must be no further attempt.
        """
        after = self._job_after(error, gained_bytes=gained_bytes)
        if after.state is JobState.FAILED:
            raise error
        await self._move(after)

    async def _move(self, after: Job) -> None:
        moved = await self._resources.jobs.move(self._job, after)
        if moved is None:
            raise LeaseLostError
        self._job = moved

    def _job_after(self, error: JobError, *, gained_bytes: bool) -> Job:
        return self._job.failed(
            error,
            self._resources.board.latest(self._job),
            gained=gained_bytes,
            budget=self.retry_policy.budget,
            now=self._resources.now(),
        )
