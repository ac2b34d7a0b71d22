"""The run of one job: find the image, or fetch and verify it, then install it.

A run holds a lease on its job's row: every step moves the row from what the run has made of it.
Once a move finds that another transition has won (a client's cancel), the lease is lost, and the
run ends without a further move: the row says what happened.
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
_WAITS = "job %s: asks its origin in %.1f s, as [fetch] start_spread_s has it"


@dataclass(frozen=True, slots=True)
class RunResources:
    """Everything that a run needs; shared by all of them."""

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
    """Another transition has won the row: this run is over."""


class JobRun:
    """The run of a claimed job, which owns the :class:`~spsd.jobs.fetch.Lease` on its row."""

    def __init__(self, claimed: Job, resources: RunResources) -> None:
        self._job = claimed
        self._resources = resources
        self._key = download_key(claimed.sha256)

    @property
    def job(self) -> Job:
        """The row as this run has moved it last."""
        return self._job

    @property
    def retry_policy(self) -> RetryPolicy:
        """How often and how soon it may try again."""
        return self._resources.retry

    async def run(self) -> None:
        """Take the job to a terminal state, unless a cancel does."""
        try:
            try:
                if not await self._found():
                    await self._fetch()
                    await to_completion(self._install())
            except JobError as error:
                # First of all: on a full disk the row needs the room.
                if isinstance(error, ImageError) or not EXPLANATIONS[error.code].keeps_partial:
                    await discard_partial(self._resources.staging, self._key)
                await self._move(self._after(error, gained_bytes=False))
        except LeaseLostError:
            # A client's cancel, whose request may have ended before it could stop this run.
            await discard_partial(self._resources.staging, self._key)

    async def _found(self) -> bool:
        """Finish with a slot that holds the image already, if it is still intact there."""
        held = await find_installed(self._resources.slots, self._job.sha256)
        if held is None:
            return False
        number, image = held
        await self._move(self._job.found(number, image.size, now=self._resources.now()))
        await discard_partial(self._resources.staging, self._key)
        return True

    async def _fetch(self) -> None:
        """Fetch into the partial file, and verify it."""
        resources = self._resources
        if self._job.slot is None:
            raise ApplianceError(FailureCode.NO_SLOT, "there is no empty slot")
        await self._wait_for_turn()
        async with resources.staging.open(self._key) as partial:
            evidence = await Fetch(self, partial, resources.attempts).run()
            await self._move(self._job.verified(partial.length, evidence, now=resources.now()))

    async def _wait_for_turn(self) -> None:
        """Let other appliances of a fleet request the image first, if it is their turn."""
        job, resources = self._job, self._resources
        wait_s = resources.spread.wait_s(job.sha256, asked_at=job.created_at, now=resources.now())
        if wait_s > 0:
            _log.info(_WAITS, job.key, wait_s, extra={"job": job.key, "action": "wait"})
        await asyncio.sleep(wait_s)

    async def _install(self) -> None:
        job, resources = self._job, self._resources
        if job.slot is None:
            raise ValueError("a job is installed into the slot that it has reserved")
        image = InstalledImage(
            sha256=job.sha256,
            size=job.progress.total,
            info=await resources.inspector.inspect(self._key),
            job=job.key,
            installed_at=resources.now(),
        )
        await resources.slots.install(job.slot, image, self._key)
        await self._move(job.installed(now=resources.now()))

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Show how far the download is; enough new bytes renew the budget."""
        self._resources.board.post(self._job.key, progress)
        if self._job.spent > 0 and new_bytes > self.retry_policy.stall_floor:
            await self._move(self._job.advanced(progress, now=self._resources.now()))

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Charge a failed attempt; raises ``error`` if there is to be no other."""
        after = self._after(error, gained_bytes=gained_bytes)
        if after.state is JobState.FAILED:
            raise error
        await self._move(after)

    async def _move(self, to: Job) -> None:
        moved = await self._resources.jobs.move(self._job, to)
        if moved is None:
            raise LeaseLostError
        self._job = moved

    def _after(self, error: JobError, *, gained_bytes: bool) -> Job:
        return self._job.failed(
            error,
            self._resources.board.of(self._job),
            gained=gained_bytes,
            budget=self.retry_policy.budget,
            now=self._resources.now(),
        )
