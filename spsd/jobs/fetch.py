"""The fetching of a claimed job: attempts at its sources until the digest is right."""

import asyncio
import random
from typing import Protocol

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
from spsd.transfer.ports import Attempts, Fetched, Partial, Progress, Report
from spsd.transfer.rules.body import PAGE_BYTES, Finished, judge_digest
from spsd.transfer.rules.retry import RetryPolicy, refunds_budget
from spsd.transfer.rules.sources import Provenance, Sources
from spsd.transfer.rules.url import authority


class Lease(Protocol):
    """The hold of a run on its job's row; each method may raise AttemptStoppedError."""

    @property
    def job(self) -> Job:
        """The row as this run has moved it last."""

    @property
    def retry_policy(self) -> RetryPolicy:
        """How often and how soon it may try again."""

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Show how far the download is; enough new bytes renew the budget."""

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Charge a failed attempt.

        Raises:
            JobError: ``error``, if there is to be no other attempt.
        """


class Fetch:
    """Attempts at the sources of one job, one after the other, into its open partial.

    Which source is next, and which are struck out, is decided in
    :mod:`spsd.transfer.rules.sources`.
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
        """Fetch until the digest is right; gives the evidence for it.

        Raises:
            JobError: there is to be no other attempt.
            AttemptStoppedError: the lease is lost.
        """
        while True:
            url = await self._next_source()
            try:
                fetched = await self._attempts.attempt(
                    url, self._partial, self._reporting(), breaks=self._breaks
                )
            except OriginError as error:
                await self._failed(error, retry_after=error.retry_after)
                continue
            except ApplianceError as error:
                if error.code is not FailureCode.DISK_FULL:
                    raise
                # The source's own word, or its endless body: another's may fit.
                await self._failed(error)
                continue
            finished = await self._finished(fetched)
            if (mismatch := judge_digest(finished)) is None:
                shown: Evidence = {**fetched.evidence, **self._bytes_from()}
                return ", ".join(f"{name} {value}" for name, value in shown.items())
            await self._mismatch(mismatch, mixed=finished.mixed)

    async def _next_source(self) -> str:
        """Wait for the turn of the next source; gives its URL."""
        turn = self._sources.next_turn(now=_clock(), has_bytes=self._partial.length > 0)
        await asyncio.sleep(turn.wait_s)
        if turn.discards:
            await self._partial.clear()
        self._sources = self._sources.selected(turn.index)
        self._provenance.begin(turn.index, self._partial.length)
        return self._sources.all[turn.index].url

    def _reporting(self) -> Report:
        # An origin that starts over brings what was here before; that refunds nothing.
        before = max(self._partial.length, self._longest)

        async def report(progress: Progress) -> None:
            self._provenance.reached(progress.done)
            await self._lease.report(progress, self._partial.length - before)

        return report

    async def _finished(self, fetched: Fetched) -> Finished:
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
        """Note it and go on, with what is left; raises if nothing is."""
        policy = self._lease.retry_policy
        refunds = refunds_budget(policy, error.code, self._partial.length - self._longest)
        self._longest = max(self._longest, self._partial.length)
        if refunds:
            self._breaks = 0
        elif error.code in (FailureCode.CUT_OFF, FailureCode.STALL):
            self._breaks += 1
        if error.transient:
            await self._lease.retry(self._seen(error, transient=True), gained_bytes=refunds)
            self._sources = self._sources.failed(
                policy,
                gained=refunds,
                retry_after=retry_after,
                spread=random.random(),  # noqa: S311 - spreads load, hides nothing
                now=_clock(),
            )
            return
        left = self._sources.failed_for_good()
        await self._lease.retry(self._seen(error, transient=left.is_any_left), gained_bytes=refunds)
        self._sources = left
        if not EXPLANATIONS[error.code].keeps_partial:
            await self._start_over()

    async def _mismatch(self, error: JobError, *, mixed: bool) -> None:
        left = self._sources.mismatched(self._provenance.pieces, mixed=mixed)
        evidence = {**error.evidence, **self._tried()}
        again = ImageError(error.code, error.what, evidence, transient=left.is_any_left)
        await self._lease.retry(again, gained_bytes=True)
        self._sources = left
        await self._start_over()

    async def _start_over(self) -> None:
        await self._partial.clear()
        self._longest = 0

    def _seen(self, error: JobError, *, transient: bool) -> JobError:
        """The error as it is, of a lone source; else with the source that it is about."""
        if not self._sources.has_mirrors:
            return error
        url = self._sources.all[self._sources.current].url
        return error.restated({"source": authority(url), **self._tried()}, transient=transient)

    def _tried(self) -> Evidence:
        sources = self._sources
        told = f"{sources.tried} of {len(sources.all)}"
        return {"sources tried": told} if sources.has_mirrors else {}

    def _bytes_from(self) -> Evidence:
        if not self._sources.has_mirrors:
            return {}
        names = [
            "an earlier run" if piece is None else authority(self._sources.all[piece].url)
            for piece in self._provenance.pieces
        ]
        return {"bytes from": " and ".join(dict.fromkeys(names))} if names else {}


def _clock() -> float:
    return asyncio.get_running_loop().time()
