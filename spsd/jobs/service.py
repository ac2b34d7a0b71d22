"""What a client can do with jobs: submit, list, read, cancel, remove."""

import uuid
from collections.abc import Sequence

from spsd.cancellation import to_completion
from spsd.clock import Now
from spsd.digest import Sha256
from spsd.errors import FetchNotCancellableError, ResourceNotFoundError
from spsd.jobs.job import EVERY_JOB, Job, JobKey, Selection, Step
from spsd.jobs.lifecycle import TERMINAL, JobState
from spsd.jobs.ports import JobRepository
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.scheduler import Scheduler


class Downloads:
    """The use cases behind ``/api/firmware/fetch``."""

    def __init__(
        self, jobs: JobRepository, scheduler: Scheduler, board: ProgressBoard, *, now: Now
    ) -> None:
        self._jobs = jobs
        self._scheduler = scheduler
        self._board = board
        self._now = now

    async def submit(self, url: str, sha256: Sha256, mirrors: tuple[str, ...] = ()) -> Job:
        """Queue a job; it is durable when this returns."""
        key = JobKey(str(uuid.uuid4()))
        job = Job.submitted(key, url, sha256, mirrors=mirrors, now=self._now())
        try:
            await self._jobs.add(job)
        finally:
            # Also if this task is cancelled: the row may have been added nevertheless.
            self._scheduler.wake()
        return job

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The selected jobs with their progress, in order of creation.

        Raises:
            ResourceNotFoundError: ``selection.after`` names a job that does not exist.
        """
        jobs = [self._board.with_progress(job) for job in await self._jobs.list(selection)]
        if selection.after is not None and not jobs:
            await self._require_job(selection.after)
        return jobs

    async def _require_job(self, after: JobKey) -> None:
        if await self._jobs.get(after) is None:
            raise ResourceNotFoundError(
                f"There is no firmware download with the key {after} to continue after; its "
                "record may have been removed. Begin again without `after`.",
                field="after",
            )

    async def get(self, key: JobKey) -> Job:
        """One job with its progress.

        Raises:
            ResourceNotFoundError: there is no such job.
        """
        return self._board.with_progress(await self._row(key))

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's transitions, oldest first.

        Raises:
            ResourceNotFoundError: there is no such job.
        """
        steps = await self._jobs.history(key)
        if not steps:
            raise _not_found(key)
        return steps

    async def delete(self, key: JobKey) -> bool:
        """Cancel a job, or remove the record of one that is over; True: it was cancelled.

        Both are completed even if the client's request is cancelled.

        Raises:
            ResourceNotFoundError: there is no such job.
            FetchNotCancellableError: it is being installed, or ended before the cancel.
        """
        return await to_completion(self._delete(key))

    async def _delete(self, key: JobKey) -> bool:
        job = await self._row(key)
        if job.state in TERMINAL:
            await self._remove(job)
            return False
        await self._cancel(job)
        return True

    async def _cancel(self, job: Job) -> None:
        while job.state in (JobState.QUEUED, JobState.DOWNLOADING):
            cancelled = job.cancelled(self._board.latest(job), now=self._now())
            # Another transition may win; the loop then continues with the row as it is.
            if await self._jobs.move(job, cancelled) is not None:
                await self._scheduler.drop(job)
                return
            job = await self._row(job.key)
        if job.state is JobState.CANCELLED:
            return
        raise FetchNotCancellableError(
            "The image is verified and is being installed, or is installed already; "
            "the download cannot be cancelled any more.",
        )

    async def _remove(self, job: Job) -> None:
        if not await self._jobs.remove(job):
            raise _not_found(job.key)
        if job.sha256 not in await self._jobs.resumable_digests():
            await self._scheduler.discard(job.sha256)

    async def _row(self, key: JobKey) -> Job:
        job = await self._jobs.get(key)
        if job is None:
            raise _not_found(key)
        return job


def _not_found(key: JobKey) -> ResourceNotFoundError:
    return ResourceNotFoundError(f"There is no firmware download with the key {key}.")
