"""How far each running download is: memory only, the partial file's length is the truth."""

from collections.abc import Callable
from dataclasses import replace

from spsd.domain.job import NO_PROGRESS, Job, JobKey, Progress
from spsd.domain.lifecycle import JobState
from spsd.services.meter import Meter


class ProgressBoard:
    """Written by pipelines, read by whoever shows a job; ``meter`` counts what comes."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._progress: dict[JobKey, Progress] = {}
        self._meter = meter or Meter()
        self.tell: Callable[[JobKey], None] = _nobody
        """Called with every progress that is posted."""

    def post(self, key: JobKey, progress: Progress) -> None:
        """The download is this far."""
        self._progress[key] = progress
        self._meter.progressed(key, progress)
        self.tell(key)

    def wipe(self, key: JobKey) -> None:
        """Nobody works on the job any more; the row says how far it came."""
        self._progress.pop(key, None)
        self._meter.rested(key)

    def of(self, job: Job) -> Progress:
        """The newest that is known."""
        return self._progress.get(job.key, job.progress)

    def live(self, job: Job) -> Job:
        """The job as it is this moment."""
        if job.state is not JobState.DOWNLOADING:
            return job
        return replace(job, progress=self._progress.get(job.key, NO_PROGRESS))


def _nobody(_: JobKey) -> None: ...
