"""What can be wrong with the database file: a closed list, and what an examination proves."""

from dataclasses import dataclass
from enum import StrEnum

from spsd.errors import StateError

APPLICATION_ID = 0x73707364
"""``PRAGMA application_id`` of our databases: "spsd" in ASCII. Older ones of ours have 0."""


class Trouble(StrEnum):
    """Stable codes; a name once given keeps its meaning."""

    LOCKED = "database_locked"
    READ_ONLY = "database_read_only"
    FULL = "database_full"
    CORRUPT = "database_corrupt"
    FOREIGN = "database_foreign"
    FUTURE = "database_future"
    UNREADABLE = "database_unreadable"


MEANING: dict[Trouble, str] = {
    Trouble.LOCKED: "another program holds the database, for longer than five seconds",
    Trouble.READ_ONLY: "it may be read, and not written",
    Trouble.FULL: "its file system has no room",
    Trouble.CORRUPT: "the file is damaged, or lacks what it must have",
    Trouble.FOREIGN: "the file is another program's",
    Trouble.FUTURE: "a newer spsd made it",
    Trouble.UNREADABLE: "the file cannot be opened, or the disk reports an error",
}
ADVICE: dict[Trouble, str] = {
    Trouble.LOCKED: "End the program that holds it, or wait for its end.",
    Trouble.READ_ONLY: "Check its owner and mode, and how its file system is mounted.",
    Trouble.FULL: "Free space on its file system.",
    Trouble.CORRUPT: "Nothing was changed; copy it away and restore a backup.",
    Trouble.FOREIGN: "Nothing was changed; check [state] directory, or move the file away.",
    Trouble.FUTURE: "Install the newer spsd again, or restore a backup.",
    Trouble.UNREADABLE: "Check the file, its file system and the kernel's log.",
}


class DatabaseError(StateError):
    """The database cannot be used; the sentence has the code, the evidence, and what to do."""

    def __init__(self, trouble: Trouble, where: str, what: str) -> None:
        super().__init__(f"{where}: {trouble}: {what}. {ADVICE[trouble]}")
        self.trouble = trouble
        self.what = what


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found in a database file that could be opened.

    ``used`` tells whether something beside it proves that it once held rows; ``objects`` are the
    names in its schema, ``expected`` those that its version has; ``damage`` is what
    ``PRAGMA quick_check`` reports.
    """

    application_id: int
    version: int
    newest: int
    objects: frozenset[str]
    expected: frozenset[str]
    damage: tuple[str, ...]
    used: bool


def judge_database(found: Examined) -> tuple[Trouble, str] | None:
    """Why the daemon must not work with it: the code and the evidence; None: it may."""
    if found.application_id not in {0, APPLICATION_ID}:
        return Trouble.FOREIGN, (
            f"it is another program's: its application_id is {found.application_id:#x}, "
            f"and not {APPLICATION_ID:#x} or 0"
        )
    if found.version > found.newest:
        return Trouble.FUTURE, (
            f"the database has version {found.version}, but this spsd knows {found.newest} at most"
        )
    if found.damage:
        more = f" and {len(found.damage) - 1} more" if len(found.damage) > 1 else ""
        return Trouble.CORRUPT, f"SQLite's quick_check says: {found.damage[0]}{more}"
    if found.version < 1 and found.objects:
        return Trouble.FOREIGN, (
            f"it has no version of ours, but holds {', '.join(sorted(found.objects)[:3])}"
        )
    if found.version < 1 and found.used:
        return Trouble.CORRUPT, "it is empty, although the files beside it show that it was in use"
    if missing := sorted(found.expected - found.objects):
        return Trouble.CORRUPT, f"it lacks {', '.join(missing[:3])} of version {found.version}"
    return None
