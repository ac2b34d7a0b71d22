"""What can be wrong with the database or the disk, and how clients are refused then.

SQLite's error codes are translated here, and the processes that hold a lock are named.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from spsd.errors import (
    InsufficientStorageError,
    RequestError,
    StateError,
    StorageBusyError,
    StorageFailedError,
)
from spsd.failures import EXPLANATIONS, ApplianceError, FailureCode

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


_PRIMARY = 0xFF
_TROUBLES = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.READ_ONLY,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_CORRUPT: Trouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: Trouble.CORRUPT,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNREADABLE,
    sqlite3.SQLITE_IOERR: Trouble.UNREADABLE,
    sqlite3.SQLITE_PROTOCOL: Trouble.UNREADABLE,
}
_LOCK = re.compile(r"\d+: \S+ +\S+ +WRITE (?P<pid>\d+) [0-9a-f]+:[0-9a-f]+:(?P<inode>\d+) ")


def trouble_of(error: sqlite3.Error) -> Trouble | None:
    """None: the fault is not the file's, but that of whoever wrote the statement."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _TROUBLES.get(code & _PRIMARY)


@contextmanager
def as_database_errors(database: Path) -> Iterator[None]:
    """Rename what SQLite raises because of the file; it blocks where the file is locked.

    Raises:
        DatabaseError: the file cannot be used.
    """
    try:
        yield
    except sqlite3.Error as error:
        if (renamed := database_error(database, error)) is None:
            raise
        raise renamed from error


def database_error(database: Path, error: sqlite3.Error) -> DatabaseError | None:
    """The error under our name; None: it is a bug's. It reads /proc."""
    trouble = trouble_of(error)
    if trouble is None:
        return None
    name = getattr(error, "sqlite_errorname", "")
    holders = lock_holders(database) if trouble is Trouble.LOCKED else ()
    shown = f"; it is held by {', '.join(holders)}" if holders else ""
    return DatabaseError(trouble, str(database), f"{error} ({name}{shown})")


def lock_holders(database: Path) -> tuple[str, ...]:
    """Who has write locks on the database, such as ``process 81 (sqlite3)``, as far as known."""
    try:
        paths = (database, database.with_name(f"{database.name}-shm"))
        inodes = {str(path.stat().st_ino) for path in paths if path.exists()}
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    found = (_LOCK.match(line) for line in lines)
    pids = {int(one["pid"]) for one in found if one is not None and one["inode"] in inodes}
    return tuple(f"process {pid}{_command(pid)}" for pid in sorted(pids))


def _command(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    except OSError:
        return ""


def storage_problem(error: DatabaseError | ApplianceError) -> RequestError:
    """The refusal of a request that has changed nothing, by whose fault and with what to do."""
    match error:
        case ApplianceError(code=FailureCode.DISK_FULL):
            return InsufficientStorageError(
                f"The disk is full: {error.what}. Free space on the state directory's file system, "
                "and send the request again.",
                **{name.replace(" ", "_"): value for name, value in error.evidence.items()},
            )
        case ApplianceError():
            return StorageFailedError(
                f"The state directory cannot be used: {error.what}. "
                f"{EXPLANATIONS[error.code].advice}"
            )
        case DatabaseError(trouble=Trouble.LOCKED):
            return StorageBusyError(
                f"Another program holds the database: {error.what}. Nothing was changed; send the "
                "request again.",
                code=error.trouble,
            )
        case _:
            return StorageFailedError(
                f"The database cannot be used: {error.what}. Nothing was changed; `spsd doctor` on "
                "the appliance says what is wrong.",
                code=error.trouble,
            )
