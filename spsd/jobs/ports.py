"""What the use cases need from outside: one protocol for each foreign thing.

Adapters raise :class:`~spsd.failures.JobError` for what goes wrong out there, and nothing
foreign.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from spsd.digest import Sha256
from spsd.jobs.job import EVERY_JOB, Job, JobKey, Selection, Step


class JobObserver(Protocol):
    """Is notified of each change of a row, once it is durable, in the loop of the repository."""

    def added(self, job: Job) -> None:
        """A row was added."""

    def moved(self, before: Job, after: Job) -> None:
        """A row was moved from ``before`` to ``after``."""

    def removed(self, job: Job) -> None:
        """A row was removed."""


class JobRepository(Protocol):
    """The rows. Each method is one statement: it happened whole, or not at all."""

    async def add(self, job: Job) -> None:
        """Durable when it returns."""

    async def get(self, key: JobKey) -> Job | None:
        """The row as it is now."""

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The rows that are asked for, in order of creation.

        After a job that is not there, there is nothing.
        """

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's moves, oldest first; none if there is no such job."""

    async def active(self) -> Sequence[Job]:
        """The rows that a daemon works on."""

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""

    async def move(self, seen: Job, to: Job) -> Job | None:
        """Make the row ``to`` if it still is what ``seen`` says; None: somebody moved first."""

    async def remove(self, job: Job) -> bool:
        """Delete the row if it still is what ``job`` says, with its history."""

    async def wanted(self) -> Collection[Sha256]:
        """The digests whose partial files some row may still go on with."""


@dataclass(frozen=True, slots=True)
class LoggedTransition:
    """A row, and the last line that the history has of it."""

    job: Job
    number: int


class TransitionLog(Protocol):
    """The history of all jobs, whose lines are numbered as they were committed."""

    async def last_transition(self) -> int:
        """The newest line's number; 0: there is none."""

    async def transitions_since(
        self, move: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        """The jobs with lines after that one, and those of ``also``, the last to move last."""
