"""The way of one job, from claimed to over.

Each step moves the row. When a move finds that somebody else moved first (a cancel), the run ends
without a word: the row says what happened.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

from spsd.domain.failure import (
    EXPLANATIONS,
    ApplianceError,
    FailureCode,
    ImageError,
    JobError,
    OriginError,
)
from spsd.domain.job import Job, Progress
from spsd.domain.lifecycle import JobState, Trigger
from spsd.domain.receiving import PAGE_BYTES, Finished, judge_digest
from spsd.domain.retry import RetryPolicy, backoff_s, gained
from spsd.domain.slot import InstalledImage
from spsd.domain.staging_key import download_key
from spsd.services.completion import to_completion
from spsd.services.download import Download, Fetched
from spsd.services.held_image import held_image
from spsd.services.ports import ImageInspector, JobRepository, Now, Partial, SlotStore, Staging
from spsd.services.progress import ProgressBoard

_log = logging.getLogger(__name__)


class SupersededError(Exception):
    """Somebody else has moved the row; this run is over."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that a run needs."""

    jobs: JobRepository
    staging: Staging
    slots: SlotStore
    inspector: ImageInspector
    download: Download
    board: ProgressBoard
    retry: RetryPolicy
    now: Now

    async def run(self, claimed: Job) -> None:
        """Take a claimed job to one of its ends."""
        run = _Run(self, claimed)
        try:
            await run.to_the_end()
        except SupersededError:
            return


class _Run:
    """One claimed job under way; ``job`` is the row as it was moved last."""

    def __init__(self, pipeline: Pipeline, job: Job) -> None:
        self._with = pipeline
        self.job = job
        self._key = download_key(job.sha256)
        self._longest = 0

    async def to_the_end(self) -> None:
        try:
            if await self._found():
                return
            if self.job.slot is None:
                raise ApplianceError(FailureCode.NO_SLOT, "there is no empty slot")
            await self._prove()
            await to_completion(self._install())
        except JobError as error:
            await self._move(self._after(error, gained_bytes=False))
            if isinstance(error, ImageError) or not EXPLANATIONS[error.code].keeps_partial:
                await self._with.staging.discard(self._key)

    async def _found(self) -> bool:
        """Finish with a slot that holds the image already, if it is still intact there."""
        held = await held_image(self._with.slots, self.job.sha256)
        if held is None:
            return False
        number, image = held
        await self._move(self.job.found(number, image.size, now=self._with.now()))
        await self._with.staging.discard(self._key)
        return True

    async def _prove(self) -> None:
        """Fetch until the digest is right.

        A mismatch over bytes of several connections may be an object that was swapped between
        them; it gets exactly one clean retry from byte 0.
        """
        async with self._with.staging.open(self._key) as partial:
            self._longest = partial.length
            clean_retries = 1
            while True:
                fetched = await self._fetch(partial)
                finished = Finished(
                    expected=self.job.sha256,
                    computed=await partial.seal(),
                    length=partial.length,
                    glued=fetched.glued,
                    clean_retries=clean_retries,
                    media_type=fetched.media_type,
                    beginning=await partial.read(0, PAGE_BYTES),
                    notes=fetched.notes,
                )
                if (error := judge_digest(finished)) is None:
                    break
                clean_retries -= 1
                await self._retry(error, gained_bytes=True)
                await partial.clear()
                self._longest = 0
            told = ", ".join(f"{name} {value}" for name, value in fetched.evidence.items())
            await self._move(self.job.verified(partial.length, told, now=self._with.now()))

    async def _fetch(self, partial: Partial) -> Fetched:
        """Attempts, until the origin has sent everything or the budget is spent."""
        while True:
            # An origin that starts over brings what was here before; that refunds nothing.
            before = max(partial.length, self._longest)

            async def report(progress: Progress, before: int = before) -> None:
                self._with.board.post(self.job.key, progress)
                new_bytes = partial.length - before
                if self.job.spent > 0 and new_bytes > self._with.retry.stall_floor:
                    await self._move(self.job.advanced(progress, now=self._with.now()))

            try:
                return await self._with.download.attempt(self.job.url, partial, report)
            except OriginError as error:
                new_bytes = partial.length - self._longest
                self._longest = max(self._longest, partial.length)
                await self._retry(
                    error, gained_bytes=gained(self._with.retry, error.code, new_bytes)
                )
                await asyncio.sleep(
                    backoff_s(
                        self._with.retry,
                        max(1, self.job.spent - 1),
                        spread=random.random(),  # noqa: S311 - spreads load, hides nothing
                        retry_after=error.retry_after,
                    )
                )

    async def _install(self) -> None:
        job, pipeline = self.job, self._with
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
        await self._move(job.installed(now=pipeline.now()))

    def _after(self, error: JobError, *, gained_bytes: bool) -> Job:
        return self.job.failed(
            error,
            self._with.board.of(self.job),
            gained=gained_bytes,
            budget=self._with.retry.budget,
            now=self._with.now(),
        )

    async def _retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Note a failed attempt and go on; raises ``error`` if there is to be no other."""
        after = self._after(error, gained_bytes=gained_bytes)
        if after.state is JobState.FAILED:
            raise error
        await self._move(after)

    async def _move(self, to: Job) -> None:
        moved = await self._with.jobs.move(self.job, to)
        if moved is None:
            raise SupersededError
        self.job = moved
        _log.log(
            logging.WARNING if moved.cause is Trigger.FAIL else logging.INFO,
            "job %s: %s, %s%s",
            moved.key,
            moved.cause,
            moved.state,
            f" ({moved.evidence})" if moved.evidence else "",
            extra={"job_id": moved.key, "action": moved.cause},
        )
