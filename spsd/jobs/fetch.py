"""Fetches the image of a claimed job: attempts at its sources until the digest is right."""

import asyncio
import random
from typing import Protocol

from spsd.clock import loop_time
from spsd.failures import (
    EXPLANATIONS,
    ApplianceError,
    Evidence,
    FailureCode,
    ImageError,
    JobError,
    OriginError,
    facts,
)
from spsd.jobs.job import Job
from spsd.transfer.ports import Attempts, Fetched, Partial, Progress, Report
from spsd.transfer.rules.body import PAGE_BYTES, Finished, judge_digest
from spsd.transfer.rules.retry import RetryPolicy, refunds_budget
from spsd.transfer.rules.sources import Provenance, Sources
from spsd.transfer.rules.url import authority


class Lease(Protocol):
    """The right of a run to change its job's row.

    Each method raises AttemptStoppedError if the lease is lost: another transition won.
    """

    @property
    def job(self) -> Job:
        """The row after this run's last transition."""

    @property
    def retry_policy(self) -> RetryPolicy:
        """How many attempts the job may make, and after which delays."""

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Publish the progress.

        ``new_bytes`` counts the bytes that no earlier attempt of this run had; enough of them
        renew the budget of attempts.
        """

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Record a failed attempt and charge the next one.

        ``gained_bytes``: the attempt brought enough new bytes to renew the budget.

        Raises:
            JobError: ``error`` itself, if there must be no further attempt.
        """


class Fetch:
    """Makes attempts at the sources of one job, one at a time, into its open partial file.

    :mod:`spsd.transfer.rules.sources` decides which source is next and which are excluded.
    """

    def __init__(self, lease: Lease, partial: Partial, attempts: Attempts) -> None:
        self._lease = lease
        self._partial = partial
        self._attempts = attempts
        self._sources = Sources.at_start(lease.job.sources, spent=lease.job.spent)
        self._provenance = Provenance(partial.length)
        self._longest = partial.length
        self._breaks = 0

    async def run(self) -> str:
        """Fetch until the digest is right; returns the evidence as text for the job's history.

        Raises:
            JobError: the failure of the last attempt; there must be no further one.
            AttemptStoppedError: the lease is lost.
        """
        while True:
            # Step 1: wait until the next source may be requested.
            url = await self._next_source()
            # Step 2: one attempt. After a failure that another attempt or source may repair, the
            # loop starts again with what is left of the sources and the budget.
            try:
                fetched = await self._attempts.attempt(
                    url, self._partial, self._reporting(), breaks=self._breaks
                )
            except OriginError as error:
                if not await self._has_every_byte():
                    await self._failed(error, retry_after=error.retry_after)
                    continue
                # The digest decides, not how the transfer ended.
                fetched = Fetched({"ended by": error.code}, {}, "", mixed=False, surplus=False)
            except ApplianceError as error:
                if error.code is not FailureCode.DISK_FULL and not error.transient:
                    raise
                # The size comes from this source, and may be false: another source may fit.
                await self._failed(error)
                continue
            # Step 3: seal the file and compare its digest; after a mismatch start again.
            finished = await self._seal(fetched)
            if (mismatch := judge_digest(finished)) is None:
                evidence: Evidence = {**fetched.evidence, **self._bytes_from()}
                return facts(evidence)
            await self._mismatch(mismatch, mixed=finished.mixed)

    async def _next_source(self) -> str:
        """Choose the next source and wait until it may be requested; returns its URL."""
        turn = self._sources.next_turn(now=loop_time(), has_bytes=self._partial.length > 0)
        await asyncio.sleep(turn.wait_s)
        if turn.discards:
            await self._partial.clear()
        self._sources = self._sources.selected(turn.index)
        self._provenance.begin(turn.index, self._partial.length)
        return self._sources.all[turn.index].url

    def _reporting(self) -> Report:
        # Bytes that this run has had before do not count as new when an origin starts over.
        before = max(self._partial.length, self._longest)

        async def report(progress: Progress) -> None:
            self._provenance.reached(progress.done)
            await self._lease.report(progress, self._partial.length - before)

        return report

    async def _has_every_byte(self) -> bool:
        """Whether the bytes so far have the requested digest."""
        partial = self._partial
        return partial.length > 0 and await partial.digest() == self._lease.job.sha256

    async def _seal(self, fetched: Fetched) -> Finished:
        partial, sources = self._partial, self._sources
        return Finished(
            expected=self._lease.job.sha256,
            computed=await partial.seal(),
            length=partial.length,
            mixed=self._provenance.mixed if sources.has_mirrors else fetched.mixed,
            clean_retries=0 if sources.unmixed else 1,
            media_type=fetched.media_type,
            beginning=await partial.read(0, PAGE_BYTES),
            surplus=fetched.surplus,
            notes={**fetched.notes, **self._bytes_from()},
        )

    async def _failed(self, error: JobError, *, retry_after: float | None = None) -> None:
        """Record the failure and update the sources.

        Raises:
            JobError: ``error``, with the sources tried, if there must be no further attempt.
        """
        policy = self._lease.retry_policy
        refunds = refunds_budget(policy, error.code, self._partial.length - self._longest)
        self._longest = max(self._longest, self._partial.length)
        if refunds:
            self._breaks = 0
        elif error.code in (FailureCode.CUT_OFF, FailureCode.STALL):
            self._breaks += 1
        if error.transient:
            await self._lease.retry(self._with_source(error, transient=True), gained_bytes=refunds)
            self._sources = self._sources.failed(
                policy,
                gained=refunds,
                retry_after=retry_after,
                spread=random.random(),  # noqa: S311 - spreads load, hides nothing
                now=loop_time(),
            )
            return
        left = self._sources.failed_for_good()
        await self._lease.retry(
            self._with_source(error, transient=left.is_any_left), gained_bytes=refunds
        )
        self._sources = left
        if not EXPLANATIONS[error.code].keeps_partial:
            await self._start_over()

    async def _mismatch(self, error: JobError, *, mixed: bool) -> None:
        left = self._sources.mismatched(self._provenance.pieces, mixed=mixed)
        evidence = {**error.evidence, **self._sources_tried()}
        restated = ImageError(error.code, error.what, evidence, transient=left.is_any_left)
        await self._lease.retry(restated, gained_bytes=True)
        self._sources = left
        await self._start_over()

    async def _start_over(self) -> None:
        await self._partial.clear()
        self._longest = 0

    def _with_source(self, error: JobError, *, transient: bool) -> JobError:
        """The error, with its source and the sources tried if the job has mirrors."""
        if not self._sources.has_mirrors:
            return error
        url = self._sources.all[self._sources.current].url
        return error.restated(
            {"source": authority(url), **self._sources_tried()}, transient=transient
        )

    def _sources_tried(self) -> Evidence:
        sources = self._sources
        tried = f"{sources.tried} of {len(sources.all)}"
        return {"sources tried": tried} if sources.has_mirrors else {}

    def _bytes_from(self) -> Evidence:
        if not self._sources.has_mirrors:
            return {}
        names = [
            "an earlier run" if piece is None else authority(self._sources.all[piece].url)
            for piece in self._provenance.pieces
        ]
        return {"bytes from": " and ".join(dict.fromkeys(names))} if names else {}
