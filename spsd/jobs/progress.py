"""The progress of running downloads, in memory.

Progress is not stored for each block: after a crash the length of the partial file gives it.
"""

from dataclasses import replace
from typing import Protocol

from spsd.jobs.containment import Contained
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.transfer.ports import NO_PROGRESS, Progress


class ProgressObserver(Protocol):
    """Is notified of all progress."""

    def progressed(self, key: JobKey, progress: Progress) -> None:
        """The download has this progress now."""

    def stopped(self, key: JobKey) -> None:
        """The job's run has ended."""


class ProgressBoard:
    """The newest progress of each running job: posted by its run, read to show the job."""

    def __init__(self) -> None:
        self._progress: dict[JobKey, Progress] = {}
        self._observers: list[ProgressObserver] = []

    def subscribe(self, observer: ProgressObserver) -> None:
        """Notify the observer of all progress from now on."""
        self._observers.append(observer)

    def post(self, key: JobKey, progress: Progress) -> None:
        """Store the progress and notify the observers."""
        self._progress[key] = progress
        for observer in self._observers:
            observer.progressed(key, progress)

    def clear(self, key: JobKey) -> None:
        """The job's run has ended: from now on its row has the progress."""
        self._progress.pop(key, None)
        for observer in self._observers:
            with Contained(f"the observer {type(observer).__name__}", key):
                observer.stopped(key)

    def latest(self, job: Job) -> Progress:
        """The newest known progress: the posted one, else that of the row."""
        return self._progress.get(job.key, job.progress)

    def with_progress(self, job: Job) -> Job:
        """The job as clients see it: a running download has its posted progress."""
        if job.state is not JobState.DOWNLOADING:
            return job
        return replace(job, progress=self._progress.get(job.key, NO_PROGRESS))
