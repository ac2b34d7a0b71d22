"""The run of one job: find the image, or fetch and verify it, then install it."""

import asyncio
import logging
from dataclasses import dataclass

from spsd.cancellation import to_completion
from spsd.clock import Now
from spsd.failures import EXPLANATIONS, ApplianceError, FailureCode, ImageError, JobError
from spsd.jobs.fetch import Claim, Proving
from spsd.jobs.job import Job
from spsd.jobs.observers import ProgressBoard
from spsd.jobs.ports import JobRepository
from spsd.jobs.start_spread import StartSpread
from spsd.slots.model import InstalledImage
from spsd.slots.ports import ImageInspector, SlotStore
from spsd.slots.service import held_image
from spsd.transfer.ports import Attempts, Staging, SupersededError, download_key
from spsd.transfer.rules.retry import RetryPolicy
from spsd.transfer.staging.directory import clear_away

_log = logging.getLogger(__name__)
_WAITS = "job %s: asks its origin in %.1f s, as [fetch] start_spread_s has it"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that a run needs."""

    jobs: JobRepository
    staging: Staging
    slots: SlotStore
    inspector: ImageInspector
    download: Attempts
    board: ProgressBoard
    retry: RetryPolicy
    spread: StartSpread
    now: Now

    async def run(self, claimed: Job) -> None:
        """Take a claimed job to one of its ends."""
        claim = Claim(claimed, self.jobs, self.board, retry=self.retry, now=self.now)
        try:
            await _Run(self, claim).to_the_end()
        except SupersededError:
            # A client's cancel, whose request may have ended before it could stop this run.
            await clear_away(self.staging, download_key(claimed.sha256))


class _Run:
    """One claimed job under way."""

    def __init__(self, pipeline: Pipeline, claim: Claim) -> None:
        self._with = pipeline
        self._claim = claim
        self._key = download_key(claim.job.sha256)

    async def to_the_end(self) -> None:
        try:
            if await self._found():
                return
            if self._claim.job.slot is None:
                raise ApplianceError(FailureCode.NO_SLOT, "there is no empty slot")
            await self._wait()
            await self._prove()
            await to_completion(self._install())
        except JobError as error:
            # First of all: on a full disk the row needs the room.
            if isinstance(error, ImageError) or not EXPLANATIONS[error.code].keeps_partial:
                await clear_away(self._with.staging, self._key)
            await self._claim.fail(error)

    async def _found(self) -> bool:
        """Finish with a slot that holds the image already, if it is still intact there."""
        job = self._claim.job
        held = await held_image(self._with.slots, job.sha256)
        if held is None:
            return False
        number, image = held
        await self._claim.move(job.found(number, image.size, now=self._with.now()))
        await clear_away(self._with.staging, self._key)
        return True

    async def _wait(self) -> None:
        """Let others of a fleet go first, if it is their turn."""
        job, pipeline = self._claim.job, self._with
        wait_s = pipeline.spread.wait_s(job.sha256, asked_at=job.created_at, now=pipeline.now())
        if wait_s > 0:
            _log.info(_WAITS, job.key, wait_s, extra={"job": job.key, "action": "wait"})
        await asyncio.sleep(wait_s)

    async def _prove(self) -> None:
        async with self._with.staging.open(self._key) as partial:
            evidence = await Proving(self._claim, partial, self._with.download).to_the_proof()
            job = self._claim.job
            await self._claim.move(job.verified(partial.length, evidence, now=self._with.now()))

    async def _install(self) -> None:
        job, pipeline = self._claim.job, self._with
        if job.slot is None:
            raise ValueError("a job is installed into the slot that it has reserved")
        image = InstalledImage(
            sha256=job.sha256,
            size=job.progress.total,
            info=await pipeline.inspector.inspect(self._key),
            job=job.key,
            installed_at=pipeline.now(),
        )
        await pipeline.slots.install(job.slot, image, self._key)
        await self._claim.move(job.installed(now=pipeline.now()))
