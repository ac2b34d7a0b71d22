"""Faults of the database and of the disk: stable codes, evidence, advice, and HTTP errors.

SQLite's error codes are translated to our own, and the processes that hold a lock are named.
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
"""``PRAGMA application_id`` of our databases: "spsd" in ASCII. Databases of old versions have 0."""


class DatabaseFault(StrEnum):
    """Stable codes for operators and programs. A code never changes its meaning."""

    LOCKED = "database_locked"
    READ_ONLY = "database_read_only"
    FULL = "database_full"
    CORRUPT = "database_corrupt"
    FOREIGN = "database_foreign"
    FUTURE = "database_future"
    UNREADABLE = "database_unreadable"


MEANING: dict[DatabaseFault, str] = {
    DatabaseFault.LOCKED: "another program has locked the database for more than five seconds",
    DatabaseFault.READ_ONLY: "the database can be read but not written",
    DatabaseFault.FULL: "the file system of the database has no space left",
    DatabaseFault.CORRUPT: "the file is damaged, or tables or indexes are missing",
    DatabaseFault.FOREIGN: "the file belongs to another program",
    DatabaseFault.FUTURE: "the database was written by a newer spsd",
    DatabaseFault.UNREADABLE: "the file cannot be opened, or the disk reports an error",
}
ADVICE: dict[DatabaseFault, str] = {
    DatabaseFault.LOCKED: "End the program that holds the lock, or wait until it ends.",
    DatabaseFault.READ_ONLY: "Check its owner and mode, and how its file system is mounted.",
    DatabaseFault.FULL: "Free space on the file system of the state directory.",
    DatabaseFault.CORRUPT: "Nothing was changed. Copy the file away and restore a backup.",
    DatabaseFault.FOREIGN: "Nothing was changed. Check [state] directory, or move the file away.",
    DatabaseFault.FUTURE: "Install the newer spsd again, or restore a backup.",
    DatabaseFault.UNREADABLE: "Check the file, its file system and the kernel's log.",
}


class DatabaseError(StateError):
    """The database cannot be used. The message has the path, the code, the evidence, and advice."""

    def __init__(self, fault: DatabaseFault, where: str, what: str) -> None:
        """``where`` is the path of the file, ``what`` the evidence."""
        super().__init__(f"{where}: {fault}: {what}. {ADVICE[fault]}")
        self.fault = fault
        self.what = what


_PRIMARY_CODE = 0xFF
"""The part of an extended result code of SQLite that is its primary code."""
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
    """The fault of the file or the disk; None: the statement is at fault, which is a bug."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _FAULT_OF_CODE.get(code & _PRIMARY_CODE)


@contextmanager
def as_database_errors(database: Path) -> Iterator[None]:
    """Translate the errors that SQLite raises because of the file. It reads /proc, and so blocks.

    Raises:
        DatabaseError: the file cannot be used.
    """
    try:
        yield
    except sqlite3.Error as error:
        if (translated := database_error(database, error)) is None:
            raise
        raise translated from error


def database_error(database: Path, error: sqlite3.Error) -> DatabaseError | None:
    """The error as DatabaseError; None: the statement is at fault, which is a bug. Reads /proc."""
    fault = fault_of(error)
    if fault is None:
        return None
    name = getattr(error, "sqlite_errorname", "")
    holders = lock_holders(database) if fault is DatabaseFault.LOCKED else ()
    shown = f"; the lock is held by {', '.join(holders)}" if holders else ""
    return DatabaseError(fault, str(database), f"{error} ({name}{shown})")


def lock_holders(database: Path) -> tuple[str, ...]:
    """The processes with write locks on the database, such as ``process 81 (sqlite3)``.

    Read from ``/proc/locks``; empty where that cannot be read.
    """
    try:
        paths = (database, database.with_name(f"{database.name}-shm"))
        inodes = {str(path.stat().st_ino) for path in paths if path.exists()}
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    locks = (_LOCK.match(line) for line in lines)
    pids = {int(lock["pid"]) for lock in locks if lock is not None and lock["inode"] in inodes}
    return tuple(f"process {pid}{_command(pid)}" for pid in sorted(pids))


def _command(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    except OSError:
        return ""


def storage_problem(error: DatabaseError | ApplianceError) -> RequestError:
    """The HTTP error for a request that has changed nothing; it names the cause and what to do."""
    match error:
        case ApplianceError(code=FailureCode.DISK_FULL):
            return InsufficientStorageError(
                f"The disk is full: {error.what}. Free space on the state directory's file system, "
                "and send the request again.",
                **{name.replace(" ", "_"): value for name, value in error.evidence.items()},
            )
        case ApplianceError(transient=True):
            return StorageBusyError(f"{error.what}. Nothing was changed. Send the request again.")
        case ApplianceError():
            return StorageFailedError(
                f"The state directory cannot be used: {error.what}. "
                f"{EXPLANATIONS[error.code].advice}"
            )
        case DatabaseError(fault=DatabaseFault.LOCKED):
            return StorageBusyError(
                f"Another program holds a lock on the database: {error.what}. Nothing was changed. "
                "Send the request again.",
                code=error.fault,
            )
        case _:
            return StorageFailedError(
                f"The database cannot be used: {error.what}. Nothing was changed. Run "
                "`spsd doctor` on the appliance for a diagnosis.",
                code=error.fault,
            )
