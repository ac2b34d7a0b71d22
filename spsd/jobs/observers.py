"""Observers of a job's row, the log among them, and the progress that is only in memory."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.jobs.job import EVERY_JOB, Job, JobKey, Selection, Step
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.ports import JobRepository
from spsd.transfer.ports import NO_PROGRESS, Progress
from spsd.transfer.rules.url import told


class Witness(Protocol):
    """Learns of each row that has changed, durably."""

    def added(self, job: Job) -> None:
        """A row is there."""

    def moved(self, before: Job, after: Job) -> None:
        """A row is another now."""

    def removed(self, job: Job) -> None:
        """A row is gone."""


class WatchedJobs:
    """Another repository, and those who witness its changes, in this order.

    A cancelled statement runs to its end all the same, and so do they.
    """

    def __init__(self, jobs: JobRepository, *witnesses: Witness) -> None:
        self._jobs = jobs
        self._witnesses = witnesses

    async def add(self, job: Job) -> None:
        """Durable when it returns."""
        await to_completion(self._add(job))

    async def _add(self, job: Job) -> None:
        await self._jobs.add(job)
        for witness in self._witnesses:
            witness.added(job)

    async def move(self, seen: Job, to: Job) -> Job | None:
        """Make the row ``to`` if it still is what ``seen`` says; None: somebody moved first."""
        return await to_completion(self._move(seen, to))

    async def _move(self, seen: Job, to: Job) -> Job | None:
        moved = await self._jobs.move(seen, to)
        if moved is not None:
            for witness in self._witnesses:
                witness.moved(seen, moved)
        return moved

    async def remove(self, job: Job) -> bool:
        """Delete the row if it still is what ``job`` says, with its history."""
        return await to_completion(self._remove(job))

    async def _remove(self, job: Job) -> bool:
        removed = await self._jobs.remove(job)
        if removed:
            for witness in self._witnesses:
                witness.removed(job)
        return removed

    async def get(self, key: JobKey) -> Job | None:
        """The row as it is now."""
        return await self._jobs.get(key)

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The rows that are asked for, in order of creation."""
        return await self._jobs.list(selection)

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's moves, oldest first; none if there is no such job."""
        return await self._jobs.history(key)

    async def active(self) -> Sequence[Job]:
        """The rows that a daemon works on."""
        return await self._jobs.active()

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""
        return await self._jobs.next_queued(without=without)

    async def wanted(self) -> Collection[Sha256]:
        """The digests whose partial files some row may still go on with."""
        return await self._jobs.wanted()


_log = logging.getLogger(__name__)


class JobLog:
    """A witness of rows that writes a line for each change."""

    def added(self, job: Job) -> None:
        """With where its image is, less what may be secret."""
        _note(job, told(job.url))

    def moved(self, _: Job, after: Job) -> None:
        """With what is known of it; a failure is a warning."""
        _note(after, after.evidence or after.error)

    def removed(self, job: Job) -> None:
        """By its key alone."""
        _log.info("job %s: removed", job.key, extra={"job": job.key, "action": "remove"})


def _note(job: Job, why: str | None) -> None:
    failed = job.code is not None or job.cause is Trigger.INTERRUPT
    _log.log(
        logging.WARNING if failed else logging.INFO,
        "job %s: %s, %s%s",
        job.key,
        job.cause,
        job.state,
        f" ({why})" if why else "",
        extra={
            "job": job.key,
            "action": job.cause.value,
            "state": job.state.value,
            "attempt": job.attempt,
            "code": None if job.code is None else job.code.value,
        },
    )


class Watcher(Protocol):
    """Learns of all progress."""

    def progressed(self, key: JobKey, progress: Progress) -> None:
        """The download is this far."""

    def rested(self, key: JobKey) -> None:
        """Nobody works on the job any more."""


class ProgressBoard:
    """Written by pipelines, read by whoever shows a job."""

    def __init__(self) -> None:
        self._progress: dict[JobKey, Progress] = {}
        self._watchers: list[Watcher] = []

    def watched_by(self, watcher: Watcher) -> None:
        """Tell it of all progress from now on."""
        self._watchers.append(watcher)

    def post(self, key: JobKey, progress: Progress) -> None:
        """The download is this far."""
        self._progress[key] = progress
        for watcher in self._watchers:
            watcher.progressed(key, progress)

    def wipe(self, key: JobKey) -> None:
        """Nobody works on the job any more; the row says how far it came."""
        self._progress.pop(key, None)
        for watcher in self._watchers:
            watcher.rested(key)

    def of(self, job: Job) -> Progress:
        """The newest that is known."""
        return self._progress.get(job.key, job.progress)

    def live(self, job: Job) -> Job:
        """The job as it is this moment."""
        if job.state is not JobState.DOWNLOADING:
            return job
        return replace(job, progress=self._progress.get(job.key, NO_PROGRESS))
