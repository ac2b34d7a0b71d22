"""The fetching of a claimed job: attempts at its sources until the digest is right."""

import asyncio
import random

from spsd.clock import Now
from spsd.failures import (
    EXPLANATIONS,
    ApplianceError,
    Evidence,
    FailureCode,
    ImageError,
    JobError,
    OriginError,
)
from spsd.jobs.job import Job
from spsd.jobs.lifecycle import JobState
from spsd.jobs.observers import ProgressBoard
from spsd.jobs.ports import JobRepository
from spsd.transfer.ports import Attempts, Fetched, Partial, Progress, SupersededError
from spsd.transfer.rules.body import PAGE_BYTES, Finished, judge_digest
from spsd.transfer.rules.retry import RetryPolicy, gained
from spsd.transfer.rules.sources import Provenance, Sources
from spsd.transfer.rules.url import authority


class Claim:
    """The hold that a run has on its job. Every move may raise :class:`SupersededError`."""

    def __init__(
        self, job: Job, jobs: JobRepository, board: ProgressBoard, *, retry: RetryPolicy, now: Now
    ) -> None:
        self.job = job
        self.retry_policy = retry
        self._jobs = jobs
        self._board = board
        self._now = now

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Show how far the download is; enough new bytes make the budget whole again."""
        self._board.post(self.job.key, progress)
        if self.job.spent > 0 and new_bytes > self.retry_policy.stall_floor:
            await self.move(self.job.advanced(progress, now=self._now()))

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Note a failed attempt and go on; raises ``error`` if there is to be no other."""
        after = self._after(error, gained_bytes=gained_bytes)
        if after.state is JobState.FAILED:
            raise error
        await self.move(after)

    async def fail(self, error: JobError) -> None:
        """End the job with an error that no other attempt can mend."""
        await self.move(self._after(error, gained_bytes=False))

    async def move(self, to: Job) -> None:
        """Make the row ``to``."""
        moved = await self._jobs.move(self.job, to)
        if moved is None:
            raise SupersededError
        self.job = moved

    def _after(self, error: JobError, *, gained_bytes: bool) -> Job:
        return self.job.failed(
            error,
            self._board.of(self.job),
            gained=gained_bytes,
            budget=self.retry_policy.budget,
            now=self._now(),
        )


class Proving:
    """The fetching of one claimed job into its open partial."""

    def __init__(self, claim: Claim, partial: Partial, download: Attempts) -> None:
        self._claim = claim
        self._partial = partial
        self._download = download
        self._sources = Sources.of(claim.job.sources, spent=claim.job.spent)
        self._provenance = Provenance(partial.length)
        self._longest = partial.length
        self._breaks = 0

    async def to_the_proof(self) -> str:
        """Fetch until the digest is right; gives the evidence for it.

        Raises:
            JobError: there is to be no other attempt.
        """
        while True:
            fetched = await self._fetch()
            finished = Finished(
                expected=self._claim.job.sha256,
                computed=await self._partial.seal(),
                length=self._partial.length,
                glued=self._provenance.glued if self._sources.several else fetched.glued,
                clean_retries=0 if self._sources.unmixed else 1,
                media_type=fetched.media_type,
                beginning=await self._partial.read(0, PAGE_BYTES),
                surplus=fetched.surplus,
                notes={**fetched.notes, **self._bytes_from()},
            )
            if (error := judge_digest(finished)) is None:
                shown: Evidence = {**fetched.evidence, **self._bytes_from()}
                return ", ".join(f"{name} {value}" for name, value in shown.items())
            await self._mismatch(error, glued=finished.glued)

    async def _fetch(self) -> Fetched:
        """Attempts, until a source has sent everything or nothing more is to be had."""
        partial = self._partial
        while True:
            turn = self._sources.turn(now=_clock(), holding=partial.length > 0)
            await asyncio.sleep(turn.wait_s)
            if turn.drops:
                await partial.clear()
            self._sources = self._sources.asked(turn.index)
            self._provenance.begin(turn.index, partial.length)
            # An origin that starts over brings what was here before; that refunds nothing.
            before = max(partial.length, self._longest)

            async def report(progress: Progress, before: int = before) -> None:
                self._provenance.reached(progress.done)
                await self._claim.report(progress, partial.length - before)

            url = self._sources.each[turn.index].url
            try:
                return await self._download.attempt(url, partial, report, breaks=self._breaks)
            except OriginError as error:
                await self._failed(error, retry_after=error.retry_after)
            except ApplianceError as error:
                if error.code is not FailureCode.DISK_FULL:
                    raise
                # The source's own word, or its endless body: another's may fit.
                await self._failed(error)

    async def _failed(self, error: JobError, *, retry_after: float | None = None) -> None:
        """Note it and go on, with what is left; raises if nothing is."""
        policy = self._claim.retry_policy
        refunds = gained(policy, error.code, self._partial.length - self._longest)
        self._longest = max(self._longest, self._partial.length)
        if refunds:
            self._breaks = 0
        elif error.code in (FailureCode.CUT_OFF, FailureCode.STALL):
            self._breaks += 1
        if error.transient:
            await self._claim.retry(self._seen(error, transient=True), gained_bytes=refunds)
            self._sources = self._sources.failed(
                policy,
                gained=refunds,
                retry_after=retry_after,
                spread=random.random(),  # noqa: S311 - spreads load, hides nothing
                now=_clock(),
            )
            return
        left = self._sources.failed_for_good()
        await self._claim.retry(self._seen(error, transient=left.any_left), gained_bytes=refunds)
        self._sources = left
        if not EXPLANATIONS[error.code].keeps_partial:
            await self._start_over()

    async def _mismatch(self, error: JobError, *, glued: bool) -> None:
        left = self._sources.mismatched(self._provenance.pieces, glued=glued)
        evidence = {**error.evidence, **self._tried()}
        again = ImageError(error.code, error.what, evidence, transient=left.any_left)
        await self._claim.retry(again, gained_bytes=True)
        self._sources = left
        await self._start_over()

    async def _start_over(self) -> None:
        await self._partial.clear()
        self._longest = 0

    def _seen(self, error: JobError, *, transient: bool) -> JobError:
        """The error as it is, of a lone source; else with the source that it is about."""
        if not self._sources.several:
            return error
        url = self._sources.each[self._sources.current].url
        return error.restated({"source": authority(url), **self._tried()}, transient=transient)

    def _tried(self) -> Evidence:
        sources = self._sources
        told = f"{sources.tried} of {len(sources.each)}"
        return {"sources tried": told} if sources.several else {}

    def _bytes_from(self) -> Evidence:
        if not self._sources.several:
            return {}
        names = [
            "an earlier run" if piece is None else authority(self._sources.each[piece].url)
            for piece in self._provenance.pieces
        ]
        return {"bytes from": " and ".join(dict.fromkeys(names))} if names else {}


def _clock() -> float:
    return asyncio.get_running_loop().time()
