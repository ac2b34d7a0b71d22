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


class DatabaseFault(StrEnum):
    """Stable codes; a name once given keeps its meaning."""

    LOCKED = "database_locked"
    READ_ONLY = "database_read_only"
    FULL = "database_full"
    CORRUPT = "database_corrupt"
    FOREIGN = "database_foreign"
    FUTURE = "database_future"
    UNREADABLE = "database_unreadable"


MEANING: dict[DatabaseFault, str] = {
    DatabaseFault.LOCKED: "another program holds the database, for longer than five seconds",
    DatabaseFault.READ_ONLY: "it may be read, and not written",
    DatabaseFault.FULL: "its file system has no room",
    DatabaseFault.CORRUPT: "the file is damaged, or lacks what it must have",
    DatabaseFault.FOREIGN: "the file is another program's",
    DatabaseFault.FUTURE: "a newer spsd made it",
    DatabaseFault.UNREADABLE: "the file cannot be opened, or the disk reports an error",
}
ADVICE: dict[DatabaseFault, str] = {
    DatabaseFault.LOCKED: "End the program that holds it, or wait for its end.",
    DatabaseFault.READ_ONLY: "Check its owner and mode, and how its file system is mounted.",
    DatabaseFault.FULL: "Free space on its file system.",
    DatabaseFault.CORRUPT: "Nothing was changed; copy it away and restore a backup.",
    DatabaseFault.FOREIGN: "Nothing was changed; check [state] directory, or move the file away.",
    DatabaseFault.FUTURE: "Install the newer spsd again, or restore a backup.",
    DatabaseFault.UNREADABLE: "Check the file, its file system and the kernel's log.",
}


class DatabaseError(StateError):
    """The database cannot be used; the sentence has the code, the evidence, and what to do."""

    def __init__(self, fault: DatabaseFault, where: str, what: str) -> None:
        super().__init__(f"{where}: {fault}: {what}. {ADVICE[fault]}")
        self.fault = fault
        self.what = what


_PRIMARY = 0xFF
_FAULT_OF_CODE = {
    sqlite3.SQLITE_BUSY: DatabaseFault.LOCKED,
    sqlite3.SQLITE_LOCKED: DatabaseFault.LOCKED,
    sqlite3.SQLITE_READONLY: DatabaseFault.READ_ONLY,
    sqlite3.SQLITE_PERM: DatabaseFault.READ_ONLY,
    sqlite3.SQLITE_FULL: DatabaseFault.FULL,
    sqlite3.SQLITE_CORRUPT: DatabaseFault.CORRUPT,
    sqlite3.SQLITE_NOTADB: DatabaseFault.CORRUPT,
    sqlite3.SQLITE_CANTOPEN: DatabaseFault.UNREADABLE,
    sqlite3.SQLITE_IOERR: DatabaseFault.UNREADABLE,
    sqlite3.SQLITE_PROTOCOL: DatabaseFault.UNREADABLE,
}
_LOCK = re.compile(r"\d+: \S+ +\S+ +WRITE (?P<pid>\d+) [0-9a-f]+:[0-9a-f]+:(?P<inode>\d+) ")


def fault_of(error: sqlite3.Error) -> DatabaseFault | None:
    """None: the fault is not the file's, but that of whoever wrote the statement."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _FAULT_OF_CODE.get(code & _PRIMARY)


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
    fault = fault_of(error)
    if fault is None:
        return None
    name = getattr(error, "sqlite_errorname", "")
    holders = lock_holders(database) if fault is DatabaseFault.LOCKED else ()
    shown = f"; it is held by {', '.join(holders)}" if holders else ""
    return DatabaseError(fault, str(database), f"{error} ({name}{shown})")


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
        case DatabaseError(fault=DatabaseFault.LOCKED):
            return StorageBusyError(
                f"Another program holds the database: {error.what}. Nothing was changed; send the "
                "request again.",
                code=error.fault,
            )
        case _:
            return StorageFailedError(
                f"The database cannot be used: {error.what}. Nothing was changed; `spsd doctor` on "
                "the appliance says what is wrong.",
                code=error.fault,
            )
