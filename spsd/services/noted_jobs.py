"""A job repository whose changes are logged and counted: one line a transition."""

import logging
from collections.abc import Collection, Sequence

from spsd.domain.digest import Sha256
from spsd.domain.job import Job, JobKey, Step
from spsd.domain.lifecycle import Trigger
from spsd.domain.selection import EVERY_JOB, Selection
from spsd.domain.source import told
from spsd.services.completion import to_completion
from spsd.services.meter import Meter
from spsd.services.ports import JobRepository

_log = logging.getLogger(__name__)


class NotedJobs:
    """Another repository, with a log and a meter.

    A cancelled statement runs to its end all the same, and so does its note.
    """

    def __init__(self, jobs: JobRepository, meter: Meter) -> None:
        self._jobs = jobs
        self._meter = meter

    async def add(self, job: Job) -> None:
        """Durable when it returns."""
        await to_completion(self._add(job))

    async def _add(self, job: Job) -> None:
        await self._jobs.add(job)
        self._meter.added(job)
        _note(job, told(job.url))

    async def move(self, seen: Job, to: Job) -> Job | None:
        """Make the row ``to`` if it still is what ``seen`` says; None: somebody moved first."""
        return await to_completion(self._move(seen, to))

    async def _move(self, seen: Job, to: Job) -> Job | None:
        moved = await self._jobs.move(seen, to)
        if moved is not None:
            self._meter.moved(seen, moved)
            _note(moved, moved.evidence or moved.error)
        return moved

    async def remove(self, job: Job) -> bool:
        """Delete the row if it still is what ``job`` says, with its history."""
        return await to_completion(self._remove(job))

    async def _remove(self, job: Job) -> bool:
        removed = await self._jobs.remove(job)
        if removed:
            self._meter.removed(job)
            _log.info("job %s: removed", job.key, extra={"job": job.key, "action": "remove"})
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
