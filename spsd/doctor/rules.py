"""From facts about a state directory to findings, each with its evidence and what to do. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spsd.jobs.job import Job
from spsd.jobs.lifecycle import ACTIVE, JobState
from spsd.slots.model import BrokenSlot, InstalledImage, SlotContent
from spsd.storage.faults import ADVICE
from spsd.storage.inspection import Inspection, judge_database


class Grade(StrEnum):
    """WARNING: it works, but not for ever or not as meant; WRONG: something will not work."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` is a stable name; ``advice`` is empty where nothing is to be done."""

    check: str
    grade: Grade
    message: str
    advice: str = ""

    def line(self) -> str:
        """One line for a person."""
        told = f"{self.grade:<8}{self.check}: {self.message}"
        return f"{told}. {self.advice}" if self.advice else told


def ok(check: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Grade.OK, message)


def warning(check: str, message: str, advice: str) -> Finding:
    """Worth a look."""
    return Finding(check, Grade.WARNING, message, advice)


def wrong(check: str, message: str, advice: str) -> Finding:
    """To be mended."""
    return Finding(check, Grade.WRONG, message, advice)


def all_well(findings: Iterable[Finding]) -> bool:
    """Nothing is wrong; warnings may be there."""
    return all(finding.grade is not Grade.WRONG for finding in findings)


MIB = 1024 * 1024
LARGE_LOG = 64 * MIB
SOON_DAYS = 30
_EARLIEST = 1_735_689_600
"""2025: an earlier clock was never set."""
_DAY_S = 86_400
_RESTORE = "Restore a backup, or fetch the image again."


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """The state directory: who owns it and who asks (user ids), its mode bits, free bytes."""

    owner: int
    user: int
    mode: int
    writable: bool
    free: int


def of_directory(where: str, found: DirectoryFacts, *, spare: int) -> Iterator[Finding]:
    """Whose it is, and how much fits; ``spare`` is what downloads leave free, in bytes."""
    if not found.writable:
        yield wrong(
            "state_directory",
            f"{where} is not writable for user {found.user} (owner {found.owner}, "
            f"mode {found.mode:04o})",
            "Check its owner and mode, and how its file system is mounted.",
        )
    elif found.mode & 0o077:
        yield warning(
            "state_directory",
            f"{where} is open to others (mode {found.mode:04o})",
            f"Take their rights: chmod 700 {where}.",
        )
    else:
        yield ok("state_directory", f"{where}, owner {found.owner}, mode {found.mode:04o}")
    message = f"{found.free // MIB} MiB are free, and downloads leave {spare // MIB} MiB"
    if found.free <= spare:
        yield wrong("room", message, "Free space on the file system, or empty a slot.")
    else:
        yield ok("room", message)


def of_database(
    where: str, found: Inspection, *, orphans: int, log_bytes: int
) -> Iterator[Finding]:
    """``orphans``: rows that PRAGMA foreign_key_check names."""
    if (why := judge_database(found)) is not None:
        yield wrong("database", f"{where}: {why[0]}: {why[1]}", ADVICE[why[0]])
        return
    if found.version < found.newest:
        yield ok("database", f"{where}, version {found.version}; the next start brings it up")
    else:
        yield ok("database", f"{where}, version {found.version}, quick_check says ok")
    if orphans:
        yield wrong(
            "database_rows",
            f"foreign_key_check finds {orphans} rows of nobody",
            "Copy the database away and restore a backup.",
        )
    if log_bytes > LARGE_LOG:
        yield warning(
            "database_log",
            f"the write-ahead log has {log_bytes // MIB} MiB",
            "Something reads the database without an end: see who has it open.",
        )


def of_jobs(
    jobs: Sequence[Job], slots: Mapping[int, SlotContent], *, running: bool
) -> Iterator[Finding]:
    """Do the rows fit the slots and the daemon?"""
    counts = Counter(job.state for job in jobs)
    shown = ", ".join(f"{counts[state]} {state}" for state in JobState if counts[state])
    active = sum(counts[state] for state in ACTIVE)
    later = f"; the next start goes on with {active}" if active and not running else ""
    yield ok("jobs", (shown or "none") + later)
    for job in jobs:
        if job.state in ACTIVE and job.slot is not None and job.slot not in slots:
            yield warning(
                "jobs",
                f"job {job.key} is to fill slot {job.slot}, and there are {len(slots)}",
                "It takes another slot after the next start.",
            )
    gone = sorted({job.slot for job in jobs if job.slot is not None and _gone(job, slots)})
    if gone:
        numbers = ", ".join(map(str, gone))
        yield ok("jobs_past", f"what finished jobs put into slot {numbers} is there no more")


def _gone(job: Job, slots: Mapping[int, SlotContent]) -> bool:
    content = slots.get(job.slot) if job.slot is not None else None
    held = content.sha256 if isinstance(content, InstalledImage) else None
    return job.state is JobState.FINISHED and held != job.sha256


def of_slot(number: int, content: SlotContent, *, size: int | None, intact: bool | None) -> Finding:
    """``size`` of the image in bytes, None: there is none; ``intact`` None: it was not hashed."""
    check = f"slot_{number}"
    if content is None:
        return ok(check, "empty")
    if isinstance(content, BrokenSlot):
        advice = "Look at it, then move it out of the slots directory."
        return wrong(check, content.reason, advice)
    if size is None:
        return wrong(check, "its image is missing", _RESTORE)
    if size != content.size:
        return wrong(
            check, f"its image has {size} bytes, and its manifest says {content.size}", _RESTORE
        )
    if intact is False:
        return wrong(check, f"its image does not have the SHA-256 {content.sha256}", _RESTORE)
    proven = "hashed again" if intact else "not hashed; --deep does"
    return ok(check, f"{content.info.version}, {size} bytes, {proven}")


def of_staging(
    sizes: Mapping[str, int], wanted: Collection[str], *, running: bool
) -> Iterator[Finding]:
    """Partial images, in bytes by name; ``wanted`` are the names that some job goes on with."""
    left = {name: size for name, size in sizes.items() if name not in wanted}
    kept = sum(size for name, size in sizes.items() if name in wanted)
    yield ok(
        "staging", f"{len(sizes) - len(left)} partial images that jobs go on with, {kept} bytes"
    )
    if left and not running:
        yield warning(
            "staging_left",
            f"{len(left)} that nobody goes on with, {sum(left.values())} bytes",
            "The next start removes what is spsd's; remove what is not.",
        )


def of_clock(now: int, newest_row: int) -> Finding:
    """Seconds since the epoch."""
    if now < _EARLIEST:
        return wrong("clock", "the clock is before 2025", "Set it: certificates depend on it.")
    if newest_row > now + _DAY_S:
        return warning(
            "clock",
            f"a job was changed {newest_row - now} s in the future",
            "Check the clock; it was set back.",
        )
    return ok("clock", "not behind the jobs")


def of_certificate(where: str, days_left: int) -> Finding:
    """Whole days until it ends, negative if it has."""
    if days_left < 0:
        return wrong("certificate", f"{where} ended {-days_left} days ago", "Put a new one there.")
    message = f"{where} is good for {days_left} days"
    if days_left < SOON_DAYS:
        return warning("certificate", message, "Renew it, and restart the daemon.")
    return ok("certificate", message)
