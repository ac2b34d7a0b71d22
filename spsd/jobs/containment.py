"""The border around the work on one job: an unexpected exception ends that work and nothing else.

docs/decisions/0034 has the reasons. Code inside the border raises a
:class:`~spsd.failures.JobError` for what can go wrong; anything else is a bug in spsd or in a
library. It is logged with its traceback, and fails the job with the code ``internal``.
"""

import asyncio
import logging
from types import TracebackType
from typing import Self

from spsd.failures import ApplianceError, FailureCode, JobError
from spsd.jobs.job import JobKey
from spsd.storage.faults import DatabaseError
from spsd.system.loop_thread import LoopEndedError

_log = logging.getLogger(__name__)
ENDS_THE_DAEMON = (DatabaseError, LoopEndedError)
"""What cannot be contained: without the database no job can be failed, and without the second event
loop none can be downloaded. A new process may have both."""


class Contained:
    """A context that contains an exception of its body; ``error`` is the exception, or None.

    Not contained are :data:`ENDS_THE_DAEMON`, also within a group, the exceptions that end a
    process (SystemExit, KeyboardInterrupt), and a cancellation that was requested.
    """

    def __init__(self, doing: str, job: JobKey | None = None) -> None:
        """``doing`` names the work in the log."""
        self._doing = doing
        self._job = job
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, asyncio.CancelledError) and not _is_cancelled():
            # A library has cancelled its own work. To the caller this is no cancellation.
            cancelled = RuntimeError("the work was cancelled without a request")
            cancelled.__cause__ = error
            error = cancelled
        if not isinstance(error, Exception) or ends_the_daemon(error):
            return False
        self.error = error
        extra = {} if self._job is None else {"job": self._job}
        if isinstance(error, JobError):
            _log.warning("%s failed: %s", self._doing, error, extra=extra)
        else:
            _log.error("an unexpected error in %s", self._doing, exc_info=error, extra=extra)
        return True


def ends_the_daemon(error: BaseException) -> bool:
    """Whether the exception, or one of its group, cannot be contained."""
    if isinstance(error, BaseExceptionGroup):
        return any(ends_the_daemon(inner) for inner in error.exceptions)
    return isinstance(error, ENDS_THE_DAEMON)


def final_error(error: Exception) -> JobError:
    """The error with which the job fails for good, after ``error`` was contained.

    The message of an unexpected exception is in the log only: it may contain anything.
    """
    if isinstance(error, JobError):
        return error.restated({}, transient=False)
    what = "an unexpected error ended the work on this job"
    names = " and ".join(dict.fromkeys(_names(error)))
    return ApplianceError(FailureCode.INTERNAL, what, {"exception": names})


def _names(error: BaseException) -> list[str]:
    """The names of the types of the exceptions in a group, or of the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        return [name for inner in error.exceptions for name in _names(inner)]
    return [type(error).__name__]


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
