"""Rules of ``spsd doctor``: facts about a state directory become findings with advice. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spsd.jobs.job import Job
from spsd.jobs.lifecycle import ACTIVE, JobState
from spsd.slots.model import BrokenSlot, InstalledImage, SlotContent
from spsd.storage.faults import ADVICE
from spsd.storage.inspection import Inspection, judge_database
from spsd.text import harmless, visible


class Grade(StrEnum):
    """WARNING: it works, but not permanently or not as intended. WRONG: something does not work."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. ``check`` is a stable name; an empty ``advice``: nothing to do."""

    check: str
    grade: Grade
    message: str
    advice: str = ""

    def line(self) -> str:
        """The finding as one line of text; what a file or an image contains is made harmless."""
        text = f"{self.grade:<8}{self.check}: {harmless(self.message)}"
        return f"{text}. {visible(self.advice)}" if self.advice else text

    def document(self) -> dict[str, str]:
        """The finding as an object of ``--json``; programs rely on the keys."""
        return {
            "check": self.check,
            "grade": self.grade,
            "said": self.message,
            "advice": self.advice,
        }


def ok(check: str, message: str) -> Finding:
    """A finding that needs no action."""
    return Finding(check, Grade.OK, message)


def warning(check: str, message: str, advice: str) -> Finding:
    """A finding that should be looked into."""
    return Finding(check, Grade.WARNING, message, advice)


def wrong(check: str, message: str, advice: str) -> Finding:
    """A finding that has to be corrected."""
    return Finding(check, Grade.WRONG, message, advice)


def nothing_wrong(findings: Iterable[Finding]) -> bool:
    """Whether no finding is graded WRONG; warnings are allowed."""
    return all(finding.grade is not Grade.WRONG for finding in findings)


MIB = 1024 * 1024
LARGE_LOG = 64 * MIB
"""Bytes of the write-ahead log from which on it is reported."""
SOON_DAYS = 30
"""A certificate that expires earlier is reported."""
_EARLIEST = 1_735_689_600
"""2025-01-01 in seconds since the epoch: a clock before it was never set."""
_DAY_S = 86_400
_RESTORE_IMAGE = "Restore a backup, or fetch the image again."


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """The state directory: user id of its owner and of this process, mode bits, free bytes."""

    owner: int
    user: int
    mode: int
    writable: bool
    free: int


def directory_findings(where: str, facts: DirectoryFacts, *, spare: int) -> Iterator[Finding]:
    """Access rights and free space. ``spare``: the bytes that downloads leave free."""
    if not facts.writable:
        yield wrong(
            "state_directory",
            f"{where} is not writable for user {facts.user} (owner {facts.owner}, "
            f"mode {facts.mode:04o})",
            "Check its owner and mode, and how its file system is mounted.",
        )
    elif facts.mode & 0o077:
        yield warning(
            "state_directory",
            f"other users have access to {where} (mode {facts.mode:04o})",
            f"Remove their access: chmod 700 {where}.",
        )
    else:
        yield ok("state_directory", f"{where}, owner {facts.owner}, mode {facts.mode:04o}")
    message = f"{facts.free // MIB} MiB are free; downloads leave {spare // MIB} MiB free"
    if facts.free <= spare:
        yield wrong("room", message, "Free space on the file system, or empty a slot.")
    else:
        yield ok("room", message)


def database_findings(
    where: str, inspection: Inspection, *, orphans: int, log_bytes: int
) -> Iterator[Finding]:
    """The state of the file. ``orphans``: the number of rows of PRAGMA foreign_key_check."""
    if (rejection := judge_database(inspection)) is not None:
        fault, evidence = rejection
        yield wrong("database", f"{where}: {fault}: {evidence}", ADVICE[fault])
        return
    version, newest = inspection.version, inspection.newest
    if version < newest:
        later = f"the next start migrates it to version {newest}"
        yield ok("database", f"{where}, version {version}; {later}")
    else:
        yield ok("database", f"{where}, version {version}, quick_check reports no damage")
    if orphans:
        yield wrong(
            "database_rows",
            f"foreign_key_check reports {orphans} orphaned rows",
            "Copy the database away and restore a backup.",
        )
    if log_bytes > LARGE_LOG:
        yield warning(
            "database_log",
            f"the write-ahead log has {log_bytes // MIB} MiB",
            "A program keeps reading the database: find it with `fuser`, and end it.",
        )


def job_findings(
    jobs: Sequence[Job], slots: Mapping[int, SlotContent], *, running: bool
) -> Iterator[Finding]:
    """Whether the jobs agree with the slots. ``running``: whether a daemon runs."""
    counts = Counter(job.state for job in jobs)
    shown = ", ".join(f"{counts[state]} {state}" for state in JobState if counts[state])
    active = sum(counts[state] for state in ACTIVE)
    later = f"; the next start resumes {active}" if active and not running else ""
    yield ok("jobs", (shown or "none") + later)
    for job in jobs:
        if job.state in ACTIVE and job.slot is not None and job.slot not in slots:
            yield warning(
                "jobs",
                f"job {job.key} has reserved slot {job.slot}, but there are {len(slots)} slots",
                "No action is needed: the job takes another slot after the next start.",
            )
    emptied = sorted({job.slot for job in jobs if job.slot is not None and _is_gone(job, slots)})
    if emptied:
        numbers = ", ".join(map(str, emptied))
        yield ok("jobs_past", f"images of finished jobs are no longer in their slots: {numbers}")


def _is_gone(job: Job, slots: Mapping[int, SlotContent]) -> bool:
    content = slots.get(job.slot) if job.slot is not None else None
    installed = content.sha256 if isinstance(content, InstalledImage) else None
    return job.state is JobState.FINISHED and installed != job.sha256


def slot_finding(
    number: int, content: SlotContent, *, size: int | None, intact: bool | None
) -> Finding:
    """Whether the image agrees with its manifest.

    ``size`` is the size of the image in bytes, None: there is no image. ``intact`` is whether its
    SHA-256 is that of the manifest, None: the image was not hashed.
    """
    check = f"slot_{number}"
    if content is None:
        return ok(check, "empty")
    if isinstance(content, BrokenSlot):
        advice = "Inspect the slot, then move it out of the slots directory."
        return wrong(check, content.reason, advice)
    if size is None:
        return wrong(check, "its image is missing", _RESTORE_IMAGE)
    if size != content.size:
        return wrong(
            check,
            f"its image has {size} bytes, but its manifest states {content.size}",
            _RESTORE_IMAGE,
        )
    if intact is False:
        return wrong(check, f"its image does not have the SHA-256 {content.sha256}", _RESTORE_IMAGE)
    hashed = "SHA-256 verified" if intact else "SHA-256 not verified (--deep does)"
    return ok(check, f"{content.info.version}, {size} bytes, {hashed}")


def staging_findings(
    sizes: Mapping[str, int], resumable: Collection[str], *, running: bool
) -> Iterator[Finding]:
    """Partial images. ``sizes``: bytes by name; ``resumable``: the names that a job can resume."""
    unused = {name: size for name, size in sizes.items() if name not in resumable}
    used = sum(size for name, size in sizes.items() if name in resumable)
    count = len(sizes) - len(unused)
    yield ok("staging", f"{count} partial images that jobs can resume, {used} bytes")
    if unused and not running:
        yield warning(
            "staging_left",
            f"{len(unused)} entries that no job can resume, {sum(unused.values())} bytes",
            "The next start removes those that spsd made; remove the others.",
        )


def clock_finding(now: int, newest_change: int) -> Finding:
    """Whether the clock agrees with the newest change of a job; both in seconds since the epoch."""
    if now < _EARLIEST:
        return wrong(
            "clock", "the clock is before 2025", "Set the clock: certificates depend on it."
        )
    if newest_change > now + _DAY_S:
        return warning(
            "clock",
            f"the newest change of a job is {newest_change - now} s in the future",
            "Check the clock: it was set back.",
        )
    return ok("clock", "not behind the newest change of a job")


def certificate_finding(where: str, days_left: int, *, self_signed: bool = False) -> Finding:
    """``days_left``: whole days until the certificate expires, negative if it has expired."""
    message = f"{where} is valid for {days_left} more days"
    if days_left < 0:
        message = f"{where} expired {-days_left} days ago"
    if self_signed and days_left < SOON_DAYS:
        advice = "The daemon renews it when it starts and while it runs; if not, look into its log."
        return warning("certificate", message, advice)
    if days_left < 0:
        return wrong("certificate", message, "Install a new one, and reload the daemon.")
    if days_left < SOON_DAYS:
        return warning("certificate", message, "Renew it, and reload the daemon.")
    return ok("certificate", message)
