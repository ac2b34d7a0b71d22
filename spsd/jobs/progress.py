"""The progress of running downloads, in memory: the truth is the length of the partial file."""

from dataclasses import replace
from typing import Protocol

from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.transfer.ports import NO_PROGRESS, Progress


class ProgressObserver(Protocol):
    """Learns of all progress."""

    def progressed(self, key: JobKey, progress: Progress) -> None:
        """The download is this far."""

    def stopped(self, key: JobKey) -> None:
        """Nobody works on the job any more."""


class ProgressBoard:
    """Written by pipelines, read by whoever shows a job."""

    def __init__(self) -> None:
        self._progress: dict[JobKey, Progress] = {}
        self._observers: list[ProgressObserver] = []

    def subscribe(self, observer: ProgressObserver) -> None:
        """Tell it of all progress from now on."""
        self._observers.append(observer)

    def post(self, key: JobKey, progress: Progress) -> None:
        """The download is this far."""
        self._progress[key] = progress
        for observer in self._observers:
            observer.progressed(key, progress)

    def clear(self, key: JobKey) -> None:
        """Nobody works on the job any more; the row says how far it came."""
        self._progress.pop(key, None)
        for observer in self._observers:
            observer.stopped(key)

    def of(self, job: Job) -> Progress:
        """The newest that is known."""
        return self._progress.get(job.key, job.progress)

    def live(self, job: Job) -> Job:
        """The job as it is this moment."""
        if job.state is not JobState.DOWNLOADING:
            return job
        return replace(job, progress=self._progress.get(job.key, NO_PROGRESS))
