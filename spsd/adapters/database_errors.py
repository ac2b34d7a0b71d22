"""SQLite's error codes under our own names, and who holds a lock."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spsd.domain.database import DatabaseError, Trouble

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
