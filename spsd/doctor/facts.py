"""Facts about a state directory, for ``spsd doctor``. Nothing is created, changed or locked."""

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spsd.doctor.rules import DirectoryFacts
from spsd.jobs.job import Job
from spsd.jobs.sqlite import jobs_in
from spsd.slots.directory import SlotDirectory
from spsd.slots.model import SlotContent
from spsd.storage.faults import lock_holders
from spsd.storage.files import room
from spsd.storage.inspection import (
    Inspection,
    inspect_database,
    judge_database,
    migration_scripts,
    migrations_directory,
    open_read_only,
)
from spsd.transfer.staging.partial_file import IMAGE

_CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """``jobs`` is None if the file cannot be trusted, or has an older version.

    ``orphans`` is the number of rows whose parent row is missing; ``log_bytes`` the size of the
    write-ahead log.
    """

    inspection: Inspection
    orphans: int
    log_bytes: int
    jobs: Sequence[Job] | None


def directory_facts(root: Path) -> DirectoryFacts:
    """Owner, access rights and free space.

    Raises:
        OSError: the directory does not exist.
    """
    status = root.stat()
    return DirectoryFacts(
        owner=status.st_uid,
        user=os.geteuid(),
        mode=status.st_mode & 0o7777,
        writable=root.is_dir() and os.access(root, os.W_OK | os.X_OK),
        free=room(root),
    )


def database_facts(database: Path) -> DatabaseFacts:
    """Read the whole database, with ``PRAGMA quick_check``.

    Raises:
        DatabaseError: it cannot be read.
    """
    scripts = migration_scripts(migrations_directory())
    log = database.with_name(f"{database.name}-wal")
    with open_read_only(database) as connection:
        inspection = inspect_database(connection, database, scripts)
        readable = judge_database(inspection) is None and inspection.version == inspection.newest
        return DatabaseFacts(
            inspection=inspection,
            orphans=len(connection.execute("PRAGMA foreign_key_check").fetchall()),
            log_bytes=log.stat().st_size if log.exists() else 0,
            jobs=jobs_in(connection) if readable else None,
        )


def running_daemons(lock: Path) -> tuple[str, ...]:
    """The processes that hold the lock of a state directory; the lock itself is not taken."""
    return lock_holders(lock)


def slot_contents(slots: Path, staging: Path, count: int) -> Mapping[int, SlotContent]:
    """The slots by number, as their manifests describe them."""
    return asyncio.run(_store(slots, staging, count).slots())


def image_size(slots: Path, number: int) -> int | None:
    """Size of a slot's image in bytes; None: there is no image."""
    try:
        return (slots / str(number) / IMAGE).stat().st_size
    except OSError:
        return None


def verify_image(slots: Path, staging: Path, number: int) -> bool:
    """Read the whole image; true if its SHA-256 is that of its manifest.

    Raises:
        ApplianceError: it cannot be read.
    """
    return asyncio.run(_store(slots, staging, number).intact(number))


def _store(slots: Path, staging: Path, count: int) -> SlotDirectory:
    return SlotDirectory(slots, staging, count=count)


def sizes_in(directory: Path) -> Mapping[str, int]:
    """Bytes by name of each entry, with everything below it.

    An entry that is removed meanwhile counts as 0 bytes.
    """
    return {path.name: _size(path) for path in directory.iterdir()} if directory.is_dir() else {}


def _size(path: Path) -> int:
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(_size(below) for below in path.iterdir())
        return path.lstat().st_size
    except OSError:
        return 0


def is_executable(program: str) -> bool:
    """Whether ``program``, a path or a name on PATH, is an executable file."""
    return shutil.which(program) is not None


def accepts_connections(host: str, port: int) -> bool:
    """Whether a TCP connection to this address succeeds."""
    try:
        # The wildcard addresses (0.0.0.0 and ::) can be connected to as well.
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def bind_problem(host: str, port: int) -> str | None:
    """Why a daemon could not listen on this address, in the system's words; None: it could."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with closing(socket.socket(family, kind, protocol)) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
