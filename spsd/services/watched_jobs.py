"""A job repository whose changes are witnessed: logged, counted, told."""

from collections.abc import Collection, Sequence
from typing import Protocol

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.domain.job import Job, JobKey, Step
from spsd.domain.selection import EVERY_JOB, Selection
from spsd.services.ports import JobRepository


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
