"""A job as a frozen copy of its row, the rows that may follow it, and the selection of a list.

Each method for a transition evaluates the table in :mod:`spsd.jobs.lifecycle` and returns a new
value; nothing is stored until the repository has changed the row. These methods raise
:class:`~spsd.jobs.lifecycle.IllegalTransitionError` if the table has no such transition. ``now`` is
whole seconds since the epoch.

``attempt`` is the number of the latest attempt and only grows: together with the state it guards
the row against a writer that read an older row. ``spent`` counts, against the budget, the attempts
in a row without new bytes, including the running one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NewType

from spsd.digest import Sha256
from spsd.failures import ApplianceError, FailureCode, JobError
from spsd.jobs.lifecycle import JobState, Trigger, advance
from spsd.transfer.ports import NO_PROGRESS, Progress

JobKey = NewType("JobKey", str)
"""A UUID in canonical form; identifies the job in the API."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a job's history: the time and trigger of a transition, and the state after it."""

    at: int
    cause: Trigger
    state: JobState
    attempt: int
    evidence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. Times are whole seconds since the epoch; ``progress`` is in bytes."""

    key: JobKey
    url: str
    sha256: Sha256
    state: JobState
    cause: Trigger
    created_at: int
    changed_at: int
    attempt: int = 0
    spent: int = 0
    slot: int | None = None
    started_at: int | None = None
    progress: Progress = NO_PROGRESS
    error: str | None = None
    evidence: str | None = None
    mirrors: tuple[str, ...] = ()

    @classmethod
    def submitted(
        cls, key: JobKey, url: str, sha256: Sha256, *, mirrors: tuple[str, ...] = (), now: int
    ) -> "Job":
        """A new job at the end of the queue."""
        return cls(
            key=key,
            url=url,
            sha256=sha256,
            state=JobState.QUEUED,
            cause=Trigger.SUBMIT,
            created_at=now,
            changed_at=now,
            mirrors=mirrors,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Every URL that the image may come from, the requested one first."""
        return (self.url, *self.mirrors)

    @property
    def code(self) -> FailureCode | None:
        """The code of the failure that led to this row; None: no failure did."""
        failed = self.state is JobState.FAILED
        sentence = self.error if failed else self.evidence if self.cause is Trigger.FAIL else None
        return None if sentence is None else FailureCode(sentence.partition(":")[0])

    def start(self, slot: int | None, *, now: int) -> "Job":
        """Claim the job, with ``slot`` reserved (None: no slot is empty); charge the attempt."""
        started = now if self.started_at is None else self.started_at
        return replace(
            self._moved(Trigger.START, now),
            attempt=self.attempt + 1,
            spent=self.spent + 1,
            slot=slot,
            started_at=started,
        )

    def advanced(self, progress: Progress, *, now: int) -> "Job":
        """New bytes have been received: the budget is whole again."""
        return replace(self._moved(Trigger.PROGRESS, now), spent=0, progress=progress)

    def found(self, slot: int, size: int, *, now: int) -> "Job":
        """Finish: ``slot`` already holds the image, intact, so nothing was fetched."""
        moved = self._moved(Trigger.FOUND, now, evidence=f"slot {slot} holds the image already")
        return replace(moved, slot=slot, progress=Progress(size, size))

    def verified(self, size: int, evidence: str, *, now: int) -> "Job":
        """The digest was verified over ``size`` bytes; the job cannot be cancelled any more."""
        moved = self._moved(Trigger.VERIFY, now, evidence=evidence)
        return replace(moved, progress=Progress(size, size))

    def installed(self, *, now: int) -> "Job":
        """Finish: the image is installed in the reserved slot."""
        return self._moved(Trigger.INSTALL, now)

    def failed(
        self, error: JobError, progress: Progress, *, gained: bool, budget: int, now: int
    ) -> "Job":
        """The attempt failed: the job waits for the next one, or is over.

        ``gained``: the attempt brought enough new bytes, so the budget of ``budget`` attempts is
        whole again. A budget smaller than the number of sources counts as one attempt for each.
        """
        spent = 0 if gained else self.spent
        may_retry = error.transient and spent < max(budget, len(self.sources))
        moved = self._moved(Trigger.FAIL, now, may_retry=may_retry, evidence=error.sentence())
        if moved.state is JobState.FAILED:
            return replace(moved, slot=None, progress=progress, error=_final_error(error, spent))
        return replace(moved, attempt=self.attempt + 1, spent=spent + 1, progress=progress)

    def cancelled(self, progress: Progress, *, now: int) -> "Job":
        """Cancelled by a client."""
        return replace(self._moved(Trigger.CANCEL, now), slot=None, progress=progress)

    def interrupted(self, *, budget: int, now: int) -> "Job":
        """The last daemon crashed during the run: queue the job again, within the budget."""
        may_retry = self.spent < max(budget, len(self.sources))
        moved = replace(self._moved(Trigger.INTERRUPT, now, may_retry=may_retry), slot=None)
        if moved.state is JobState.QUEUED:
            return replace(moved, progress=NO_PROGRESS)
        crashes = f"the daemon ended {self.spent} times in a row while it worked on this job"
        return replace(moved, error=ApplianceError(FailureCode.GAVE_UP, crashes).sentence())

    def stopped(self, *, now: int) -> "Job":
        """The daemon is stopping: queue the job again and refund the charged attempt."""
        return replace(
            self._moved(Trigger.STOP, now),
            slot=None,
            spent=max(0, self.spent - 1),
            progress=NO_PROGRESS,
        )

    def _moved(
        self, trigger: Trigger, now: int, *, may_retry: bool = False, evidence: str | None = None
    ) -> "Job":
        state = advance(self.state, trigger, may_retry=may_retry)
        return replace(self, state=state, cause=trigger, changed_at=now, evidence=evidence)


def _final_error(error: JobError, spent: int) -> str:
    if not error.transient or spent < 2:
        return error.sentence()
    return f"{error.sentence()} This was attempt {spent} in a row without getting ahead."


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs in ``states``, created later than ``after``, at most ``limit``; None: no condition."""

    states: Collection[JobState] | None = None
    after: JobKey | None = None
    limit: int | None = None


EVERY_JOB = Selection()
