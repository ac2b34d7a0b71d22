"""What a client may rely on, as a small model of a server: jobs, slots, and the next boot.

The model does not predict when the server does its work. It holds the set of states that the next
snapshot of the server may show, checks each snapshot against it, and learns from it. A snapshot
that is not possible raises `BrokenPromiseError`. Pure: no sockets and no files.
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


TERMINAL: Final = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
POSSIBLE_NEXT: Final = {
    Status.QUEUED: frozenset(Status) - {Status.CANCELLED},
    Status.IN_PROGRESS: frozenset({Status.IN_PROGRESS, Status.FINISHED, Status.FAILED}),
    **{status: frozenset({status}) for status in TERMINAL},
}
"""What the next snapshot may show, if no client cancels the job and the server does not end."""

TRANSITIONS: Final = {
    Status.QUEUED: frozenset({Status.IN_PROGRESS, Status.CANCELLED}),
    Status.IN_PROGRESS: frozenset(Status),
    **{status: frozenset[Status]() for status in TERMINAL},
}
"""What may follow directly in a job's history."""


class BrokenPromiseError(AssertionError):
    """The server did what it must not do; the message says what."""


def must(holds: bool, message: str) -> None:  # noqa: FBT001 - like an assertion
    """Check a condition.

    Raises:
        BrokenPromiseError: It does not hold.
    """
    if not holds:
        raise BrokenPromiseError(message)


@dataclass
class JobModel:
    """One download that the server accepted, or may have accepted."""

    sha256: str
    url: str
    possible: frozenset[Status] = POSSIBLE_NEXT[Status.QUEUED]
    """The statuses that the next snapshot may show."""
    may_be_removed: bool = False
    may_fail: bool = False
    """The origin misbehaves, or no object has the digest: the job may fail with any code."""
    slots_were_scarce: bool = False
    """There may have been no empty slot for it: it may fail with `no_slot`."""
    slot_was_checked: bool = False
    """A snapshot after its end has shown what its slot holds."""
    body: Mapping[str, Any] | None = None
    """The job's body in the last snapshot; None: there was none."""
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the job is known to be in a terminal status."""
        return self.possible <= TERMINAL

    @property
    def is_finished(self) -> bool:
        """Whether the job is known to have installed its image."""
        return self.possible == {Status.FINISHED}

    def server_ended(self) -> None:
        """Note the end of the server: a job in progress may be queued again."""
        if Status.IN_PROGRESS in self.possible:
            self.possible |= POSSIBLE_NEXT[Status.QUEUED]

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Check the job's body in a snapshot, and learn from it.

        Raises:
            BrokenPromiseError: The job cannot be so.
        """
        status = Status(body["status"])
        what = f"the job {self.url} is {status} with the error {body['error']!r}"
        must(
            status in self.possible,
            f"{what}, which is not possible; it may be {_names(self.possible)}",
        )
        if self.body is not None and Status(self.body["status"]) in TERMINAL:
            must(body == self.body, f"{what}; it was over, and changed: {self.body} -> {body}")
        has_error, has_slot = body["error"] is not None, body["slot_id"] is not None
        must(has_error == (status is Status.FAILED), f"{what}: wrong for this status")
        must(has_slot == (status is Status.FINISHED), f"{what}, and with slot {body['slot_id']}")
        if status is Status.FAILED:
            self._check_failure(what, body["error"].partition(":")[0])
        self.possible = POSSIBLE_NEXT[status]
        self.body = body

    def _check_failure(self, what: str, name: str) -> None:
        must(name in set(FailureCode), f"{what}, which begins with no known code")
        code = FailureCode(name)
        if code is FailureCode.NO_SLOT:
            must(self.slots_were_scarce, f"{what}; there were empty slots all the time")
        else:
            must(self.may_fail, f"{what}; the origin had the image")

    def check_history(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Check the job's history, which must have been read before the job itself.

        Raises:
            BrokenPromiseError: The history has changed, or has a transition that is not allowed.
        """
        steps = tuple(history)
        must(steps[: len(self.history)] == self.history, f"the history of {self.url} was changed")
        statuses = [Status(step["status"]) for step in steps]
        must(statuses[:1] == [Status.QUEUED], f"the history of {self.url} begins with {statuses}")
        for before, after in pairwise(statuses):
            must(
                after in TRANSITIONS[before],
                f"the history of {self.url} has {after} after {before}",
            )
        attempts = [step["attempt"] for step in steps]
        must(attempts == sorted(attempts), f"the attempts of {self.url} are {attempts}")
        self.history = steps


@dataclass(frozen=True)
class Snapshot:
    """What the server shows at one time; the jobs were read before the slots.

    `slots` is what each slot holds: a SHA-256 if `has_digests`, else any text that is different for
    different images; None: the slot is empty. `partial_files` are the digests of the partial
    downloads on disk; None: the disk cannot be read. `after_reboot` is the slot of the next boot.
    """

    jobs: Mapping[str, Mapping[str, Any]]
    slots: Mapping[int, str | None]
    empty_slots: int
    current_slot: int | None
    after_reboot: int | None
    has_digests: bool = False
    partial_files: frozenset[str] | None = None


@dataclass
class Model:
    """Everything that the server accepted, and the states that are possible now."""

    image_sizes: Mapping[str, int]
    """The origin's images: size in bytes by digest; a download of another digest cannot finish."""
    jobs: dict[str, JobModel] = field(default_factory=dict)
    unanswered: dict[str, JobModel] = field(default_factory=dict)
    """Submissions without a response, by URL: the server may have accepted them."""
    slots: Mapping[int, str | None] = field(default_factory=dict)
    empty_slots: int = 0
    current_slots: frozenset[int | None] = frozenset({None})
    """The slots that may be the current one; several after a crash."""
    chosen_slots: frozenset[int | None] = frozenset({None})
    """The slots that may be chosen for the next boot; None: no choice, so the current one stays."""
    slots_to_empty: set[int] = field(default_factory=set)
    """Slots that a client has asked to empty since the last snapshot."""
    other_images: set[str] = field(default_factory=set)
    """Images that may have filled a slot since the last snapshot, without a job in `jobs`."""

    def add_job(self, key: str | None, job: JobModel) -> None:
        """Note a submission; `key` is the one of the response, None: there was no response."""
        if job.sha256 not in self.image_sizes:
            job.possible -= {Status.FINISHED}
            job.may_fail = True
        if key is None:
            self.unanswered[job.url] = job
        else:
            self.jobs[key] = job

    def check_job(self, key: str, body: Mapping[str, Any]) -> None:
        """Check the body of one job that was read alone, without the slots.

        Raises:
            BrokenPromiseError: The job cannot be so.
        """
        job = self.jobs[key]
        job.check_body(body)
        if job.is_finished and not job.slot_was_checked:
            self.other_images.add(job.sha256)

    def remove_job(self, key: str) -> None:
        """Note that a record was removed; the job may have finished since the last snapshot."""
        self.other_images.add(self.jobs.pop(key).sha256)

    def server_ended(self) -> None:
        """Note the end of the server, by a stop or a kill."""
        for job in (*self.jobs.values(), *self.unanswered.values()):
            job.server_ended()

    def rebooted(self) -> None:
        """Note a reboot of the appliance: the slot chosen for the next boot becomes current."""
        self.current_slots = self.possible_after_reboot

    def origin_misbehaves(self) -> None:
        """Note that the origin may now misbehave in any way: every running job may fail."""
        for job in (*self.jobs.values(), *self.unanswered.values()):
            job.may_fail = True

    @property
    def running(self) -> list[JobModel]:
        """The jobs that may not be over yet."""
        jobs = (*self.jobs.values(), *self.unanswered.values())
        return [job for job in jobs if not job.is_over]

    @property
    def protected_slots(self) -> frozenset[int]:
        """The slots that must not be emptied."""
        slots = self.current_slots | self.possible_after_reboot
        return frozenset(slot for slot in slots if slot is not None)

    @property
    def possible_after_reboot(self) -> frozenset[int | None]:
        """The slots that may run after the next reboot; None: the slot is unknown."""
        chosen = self.chosen_slots - {None}
        return chosen | self.current_slots if None in self.chosen_slots else chosen

    def check(self, snapshot: Snapshot) -> None:
        """Check a snapshot, and learn from it.

        Raises:
            BrokenPromiseError: The snapshot shows a state that is not possible.
        """
        arriving = {job.sha256 for job in self.running} | self.other_images
        empty = min(self.empty_slots, snapshot.empty_slots)
        scarce = empty < len(self.running) + len(self.other_images)
        self._check_jobs(snapshot, scarce=scarce)
        self._check_slots(snapshot, arriving)
        self._check_boot(snapshot)
        self._check_partial_files(snapshot)
        self.slots, self.empty_slots = snapshot.slots, snapshot.empty_slots
        self.slots_to_empty.clear()
        self.other_images.clear()

    def _check_jobs(self, snapshot: Snapshot, *, scarce: bool) -> None:
        for key, body in snapshot.jobs.items():
            if key not in self.jobs:
                must(body["url"] in self.unanswered, f"no client submitted the job {key}: {body}")
                self.jobs[key] = self.unanswered.pop(body["url"])
        # A submission without a response was accepted before the server ended, or never.
        self.unanswered.clear()
        for key, job in list(self.jobs.items()):
            if key not in snapshot.jobs:
                must(job.may_be_removed, f"the job {key} has vanished: {job}")
                self.remove_job(key)
                continue
            job.may_be_removed = False
            job.slots_were_scarce |= scarce
            job.check_body(snapshot.jobs[key])
            if job.is_finished and not job.slot_was_checked:
                job.slot_was_checked = True
                self._check_finished(job, snapshot.jobs[key], snapshot)
        must(list(snapshot.jobs) == list(self.jobs), "the jobs are not in order of creation")

    def _check_finished(self, job: JobModel, body: Mapping[str, Any], snapshot: Snapshot) -> None:
        size = self.image_sizes[job.sha256]
        counts = (body["bytes_downloaded"], body["bytes_total"])
        must(counts == (size, size), f"{job.url} is finished with {counts} bytes, not {size}")
        slot = body["slot_id"]
        held = snapshot.slots.get(slot)
        right = held == job.sha256 if snapshot.has_digests else held is not None
        must(
            right or slot in self.slots_to_empty,
            f"{job.url} is finished, but slot {slot} holds {held}",
        )

    def _check_slots(self, snapshot: Snapshot, arriving: set[str]) -> None:
        for slot, held in snapshot.slots.items():
            before = self.slots.get(slot)
            if held == before:
                continue
            if before is not None:
                must(
                    slot in self.slots_to_empty, f"slot {slot} has lost {before}, and holds {held}"
                )
            if held is not None and snapshot.has_digests:
                must(held in arriving, f"slot {slot} holds {held}, which no client sent there")

    def _check_boot(self, snapshot: Snapshot) -> None:
        current, after = snapshot.current_slot, snapshot.after_reboot
        must(
            current in self.current_slots,
            f"slot {current} is current, not {set(self.current_slots)}",
        )
        possible = self.possible_after_reboot
        must(after in possible, f"slot {after} runs after a reboot, not one of {set(possible)}")
        self.current_slots = frozenset({current})
        self.chosen_slots = frozenset(
            chosen
            for chosen in self.chosen_slots
            if after in (chosen, current if chosen is None else 0)
        )

    def _check_partial_files(self, snapshot: Snapshot) -> None:
        if snapshot.partial_files is None:
            return
        # The bytes of a failed job stay for the next job; those of a finished one are removed soon.
        only_cancelled = frozenset({Status.CANCELLED})
        cancelled = {job.sha256 for job in self.jobs.values() if job.possible == only_cancelled}
        others = {job.sha256 for job in self.jobs.values() if job.possible != only_cancelled}
        left = snapshot.partial_files & (cancelled - others)
        must(not left, f"a cancel has left partial files: {left}")


def _names(statuses: Iterable[Status]) -> str:
    return " or ".join(sorted(statuses))
