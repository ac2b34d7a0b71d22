"""What the use cases of jobs need from adapters, as protocols.

Adapters raise :class:`~spsd.failures.JobError` or :class:`~spsd.storage.faults.DatabaseError` for
expected failures; exceptions of the libraries that they use do not reach the use cases.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from spsd.digest import Sha256
from spsd.jobs.job import EVERY_JOB, Job, JobKey, Selection, Step


class JobObserver(Protocol):
    """Is notified of each change of a row after it is durable, in the repository's event loop."""

    def added(self, job: Job) -> None:
        """A row was added."""

    def moved(self, before: Job, after: Job) -> None:
        """A transition changed a row from ``before`` to ``after``."""

    def removed(self, job: Job) -> None:
        """A row was removed."""


class JobRepository(Protocol):
    """The rows of jobs. Each method is one atomic statement."""

    async def add(self, job: Job) -> None:
        """Add a row; it is durable when this returns."""

    async def get(self, key: JobKey) -> Job | None:
        """The row with that key; None: there is none."""

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The selected rows, in order of creation.

        Empty if ``selection.after`` names a job that does not exist.
        """

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's transitions, oldest first; empty if there is no such job."""

    async def active(self) -> Sequence[Job]:
        """The rows whose state is in :data:`~spsd.jobs.lifecycle.ACTIVE`, in order of creation."""

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""

    async def move(self, before: Job, after: Job) -> Job | None:
        """Change the row to ``after`` if it still has the state and attempt of ``before``.

        Returns the row as stored. None: nothing was changed, because another transition won: the
        row has changed or was removed, or another active job has the same slot or digest.
        """

    async def remove(self, job: Job) -> bool:
        """Delete the row with its history if it still has the state and attempt of ``job``.

        False: nothing was deleted, because the row has changed or was removed.
        """

    async def resumable_digests(self) -> Collection[Sha256]:
        """The digests whose partial files a job may still use.

        These are the digests of jobs that are not over, and of failed jobs whose failure code
        keeps the partial file for a later job.
        """


@dataclass(frozen=True, slots=True)
class LoggedTransition:
    """A job's row, and the number of the newest line of the history about it."""

    job: Job
    number: int


class TransitionLog(Protocol):
    """The history of all jobs; its lines are numbered from 1 in the order of the commits."""

    async def last_transition(self) -> int:
        """The number of the newest line; 0: there is none."""

    async def transitions_since(
        self, number: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        """The jobs with lines after ``number``, and those of ``also``, by their newest lines."""
