"""What a client may rely on, as a small model of a server: jobs, slots, and the next boot.

The model never guesses when the server gets on with its work. It holds what a look at the server
may show, learns from each look, and complains when a look shows what cannot be. Pure: it knows
neither sockets nor files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from spsd.failures import FailureCode


class Status(StrEnum):
    """The documented states of a download."""

    QUEUED = "queued"
    IN_PROGRESS = "in-progress"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER: Final = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
UNDER_WAY: Final = frozenset(Status) - OVER
AFTER: Final = {
    Status.QUEUED: frozenset(Status) - {Status.CANCELLED},
    Status.IN_PROGRESS: frozenset({Status.IN_PROGRESS, Status.FINISHED, Status.FAILED}),
    **{status: frozenset({status}) for status in OVER},
}
"""What a look may show after another one, when nobody has cancelled and nothing has ended."""

STEPS: Final = {
    Status.QUEUED: frozenset({Status.IN_PROGRESS, Status.CANCELLED}),
    Status.IN_PROGRESS: frozenset(Status),
    **{status: frozenset[Status]() for status in OVER},
}
"""What may follow directly in a job's history."""


class BrokenPromiseError(AssertionError):
    """The server did what it must not do; the sentence says what."""


def must(holds: bool, sentence: str) -> None:  # noqa: FBT001 - like an assertion
    """Complain unless it holds."""
    if not holds:
        raise BrokenPromiseError(sentence)


@dataclass
class JobModel:
    """One download that was accepted."""

    sha256: str
    url: str
    may_be: frozenset[Status] = AFTER[Status.QUEUED]
    may_be_gone: bool = False
    excused: bool = False
    """The origin misbehaves, or the digest is of nothing: it may fail for many a reason."""
    slots_were_scarce: bool = False
    slot_was_seen: bool = False
    """Once it was finished, a look has shown what its slot holds."""
    body: Mapping[str, Any] | None = None
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """It is known to be over."""
        return self.may_be <= OVER

    @property
    def is_finished(self) -> bool:
        """It is known to have installed its image."""
        return self.may_be == {Status.FINISHED}

    def interrupted(self) -> None:
        """The server ends: what was in progress may be queued again."""
        if Status.IN_PROGRESS in self.may_be:
            self.may_be |= AFTER[Status.QUEUED]

    def shown(self, body: Mapping[str, Any]) -> None:
        """A look shows this; complains of what cannot be."""
        status = Status(body["status"])
        told = f"the job {self.url} is {status} with the error {body['error']!r}"
        must(status in self.may_be, f"{told}, which it cannot be; it may be {_names(self.may_be)}")
        if self.body is not None and Status(self.body["status"]) in OVER:
            must(body == self.body, f"{told}; it was over, and has changed: {self.body} -> {body}")
        must((body["error"] is not None) == (status is Status.FAILED), f"{told}: is it an error?")
        must((body["slot_id"] is not None) == (status is Status.FINISHED), f"{told}: in a slot?")
        if status is Status.FAILED:
            self._failed(told, body["error"].partition(":")[0])
        self.may_be = AFTER[status]
        self.body = body

    def _failed(self, told: str, name: str) -> None:
        must(name in set(FailureCode), f"{told}, which begins with no known code")
        code = FailureCode(name)
        if code is FailureCode.NO_SLOT:
            must(self.slots_were_scarce, f"{told}; there were empty slots all the time")
        else:
            must(self.excused, f"{told}; the image was there to be had")

    def told(self, history: Iterable[Mapping[str, Any]]) -> None:
        """A look shows this history, read before a look at the job itself."""
        lines = tuple(history)
        must(lines[: len(self.history)] == self.history, f"the history of {self.url} was changed")
        statuses = [Status(line["status"]) for line in lines]
        must(statuses[:1] == [Status.QUEUED], f"the history of {self.url} begins with {statuses}")
        for before, after in pairwise(statuses):
            must(after in STEPS[before], f"the history of {self.url} has {after} after {before}")
        attempts = [line["attempt"] for line in lines]
        must(attempts == sorted(attempts), f"the attempts of {self.url} are {attempts}")
        self.history = lines


@dataclass(frozen=True)
class Look:
    """What the server shows, the jobs before the slots.

    `held` is what each slot holds, a SHA-256 if `digests` says so and else whatever tells images
    apart; None: nothing. `staged` are the digests of partial files, None: nobody can look.
    """

    jobs: Mapping[str, Mapping[str, Any]]
    held: Mapping[int, str | None]
    empty: int
    current: int | None
    after_reboot: int | None
    digests: bool = False
    staged: frozenset[str] | None = None


@dataclass
class Model:
    """Everything that was accepted, and what may have become of it."""

    sizes: Mapping[str, int]
    """The images that there are, in bytes by digest; a download of another one cannot finish."""
    jobs: dict[str, JobModel] = field(default_factory=dict)
    lost: dict[str, JobModel] = field(default_factory=dict)
    """Submissions that nobody has answered, by URL: they may be there or not."""
    held: Mapping[int, str | None] = field(default_factory=dict)
    empty: int = 0
    current: frozenset[int | None] = frozenset({None})
    chosen: frozenset[int | None] = frozenset({None})
    """None: nobody chose, so the current one goes on. After a crash both may be several."""
    emptied: set[int] = field(default_factory=set)
    """Slots that were asked to be emptied since the last look."""
    brought: set[str] = field(default_factory=set)
    """Images that may have been brought since the last look, by others than the jobs here."""

    def submitted(self, key: str | None, job: JobModel) -> None:
        """A download was asked for; `key` is what the answer says, None: there was none."""
        if job.sha256 not in self.sizes:
            job.may_be -= {Status.FINISHED}
            job.excused = True
        if key is None:
            self.lost[job.url] = job
        else:
            self.jobs[key] = job

    def seen(self, key: str, body: Mapping[str, Any]) -> None:
        """The job alone was looked at, and no slot."""
        job = self.jobs[key]
        job.shown(body)
        if job.is_finished and not job.slot_was_seen:
            self.brought.add(job.sha256)

    def removed(self, key: str) -> None:
        """The record is gone; how the job ended may never have been seen."""
        self.brought.add(self.jobs.pop(key).sha256)

    def ended(self) -> None:
        """The server has ended, however it did."""
        for job in (*self.jobs.values(), *self.lost.values()):
            job.interrupted()

    def rebooted(self) -> None:
        """The appliance has started anew: a choice comes true."""
        self.current = self.after_reboot

    def misbehaves(self) -> None:
        """From now on the origin is no excellent one: every running job may fail of it."""
        for job in (*self.jobs.values(), *self.lost.values()):
            job.excused = True

    @property
    def running(self) -> list[JobModel]:
        """The jobs that may still be under way."""
        jobs = (*self.jobs.values(), *self.lost.values())
        return [job for job in jobs if not job.is_over]

    @property
    def protected(self) -> frozenset[int]:
        """The slots that must not be emptied."""
        return frozenset(slot for slot in self.current | self.after_reboot if slot is not None)

    @property
    def after_reboot(self) -> frozenset[int | None]:
        """The slots that may run after the next reboot; None: nobody knows."""
        chosen = self.chosen - {None}
        return chosen | self.current if None in self.chosen else chosen

    def looked(self, look: Look) -> None:
        """Learn from a look; complains of what cannot be."""
        coming = {job.sha256 for job in self.running} | self.brought
        scarce = min(self.empty, look.empty) < len(self.running) + len(self.brought)
        self._jobs(look, scarce=scarce)
        self._slots(look, coming)
        self._boot(look)
        self._staging(look)
        self.held, self.empty = look.held, look.empty
        self.emptied.clear()
        self.brought.clear()

    def _jobs(self, look: Look, *, scarce: bool) -> None:
        for key, body in look.jobs.items():
            if key not in self.jobs:
                must(body["url"] in self.lost, f"nobody has asked for the job {key}: {body}")
                self.jobs[key] = self.lost.pop(body["url"])
        # Whoever was not answered before the server ended is there now, or never.
        self.lost.clear()
        for key, job in list(self.jobs.items()):
            if key not in look.jobs:
                must(job.may_be_gone, f"the job {key} has vanished: {job}")
                self.removed(key)
                continue
            job.may_be_gone = False
            job.slots_were_scarce |= scarce
            job.shown(look.jobs[key])
            if job.is_finished and not job.slot_was_seen:
                job.slot_was_seen = True
                self._finished(job, look)
        must(list(look.jobs) == list(self.jobs), "the jobs are not in order of creation")

    def _finished(self, job: JobModel, look: Look) -> None:
        body = look.jobs[next(key for key, one in self.jobs.items() if one is job)]
        size = self.sizes[job.sha256]
        counts = (body["bytes_downloaded"], body["bytes_total"])
        must(counts == (size, size), f"{job.url} is finished with {counts} bytes, not {size}")
        slot = body["slot_id"]
        held = look.held.get(slot)
        right = held == job.sha256 if look.digests else held is not None
        must(right or slot in self.emptied, f"{job.url} is finished, but slot {slot} holds {held}")

    def _slots(self, look: Look, coming: set[str]) -> None:
        for slot, held in look.held.items():
            before = self.held.get(slot)
            if held == before:
                continue
            if before is not None:
                must(slot in self.emptied, f"slot {slot} has lost {before}, and holds {held}")
            if held is not None and look.digests:
                must(held in coming, f"slot {slot} holds {held}, which nobody has brought")

    def _boot(self, look: Look) -> None:
        current, after = look.current, look.after_reboot
        must(current in self.current, f"slot {current} is current, not {set(self.current)}")
        may_be = self.after_reboot
        must(after in may_be, f"slot {after} runs after a reboot, not one of {set(may_be)}")
        self.current = frozenset({current})
        self.chosen = frozenset(
            chosen for chosen in self.chosen if after in (chosen, current if chosen is None else 0)
        )

    def _staging(self, look: Look) -> None:
        if look.staged is None:
            return
        # A failed job's bytes are kept for the next one; a finished one's are about to go.
        cancelled = {
            job.sha256 for job in self.jobs.values() if job.may_be == frozenset({Status.CANCELLED})
        }
        others = {
            job.sha256 for job in self.jobs.values() if job.may_be != frozenset({Status.CANCELLED})
        }
        left = look.staged & (cancelled - others)
        must(not left, f"a cancel has left partial files: {left}")


def _names(statuses: Iterable[Status]) -> str:
    return " or ".join(sorted(statuses))
