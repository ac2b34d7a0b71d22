"""Writes a log line for each change of a job's row."""

import logging

from spsd.jobs.job import Job
from spsd.jobs.lifecycle import Trigger
from spsd.transfer.rules.url import redacted

_log = logging.getLogger(__name__)


class JobLog:
    """A :class:`~spsd.jobs.ports.JobObserver` that writes a log line for each change."""

    def added(self, job: Job) -> None:
        """Log the new job with its URL, from which secrets are removed."""
        _log_transition(job, redacted(job.url))

    def moved(self, _: Job, after: Job) -> None:
        """Log the transition with its evidence or error; a failure is a warning."""
        _log_transition(after, after.evidence or after.error)

    def removed(self, job: Job) -> None:
        """Log the removal with the job's key."""
        _log.info("job %s: removed", job.key, extra={"job": job.key, "action": "remove"})


def _log_transition(job: Job, why: str | None) -> None:
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
