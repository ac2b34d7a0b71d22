"""A look at a state directory from outside: facts only, nothing is made, changed or locked."""

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
    migrations_directory,
    reading,
    scripts_in,
)
from spsd.transfer.staging.partial_file import IMAGE

_ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """``jobs`` is None where the file cannot be trusted, or is of an older version."""

    found: Inspection
    orphans: int
    log_bytes: int
    jobs: Sequence[Job] | None


def directory_facts(root: Path) -> DirectoryFacts:
    """Whose the directory is, and what fits.

    Raises:
        OSError: it is not there.
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
    """Read the whole file.

    Raises:
        DatabaseError: it cannot be read.
    """
    scripts = scripts_in(migrations_directory())
    log = database.with_name(f"{database.name}-wal")
    with reading(database) as connection:
        found = inspect_database(connection, database, scripts)
        whole = judge_database(found) is None and found.version == found.newest
        return DatabaseFacts(
            found=found,
            orphans=len(connection.execute("PRAGMA foreign_key_check").fetchall()),
            log_bytes=log.stat().st_size if log.exists() else 0,
            jobs=jobs_in(connection) if whole else None,
        )


def daemons_of(lock: Path) -> tuple[str, ...]:
    """The processes that work in the directory of this lock file. Asking does not take it."""
    return lock_holders(lock)


def slot_contents(slots: Path, staging: Path, count: int) -> Mapping[int, SlotContent]:
    """What the manifests say."""
    return asyncio.run(_store(slots, staging, count).slots())


def image_size(slots: Path, number: int) -> int | None:
    """In bytes; None: there is no image."""
    try:
        return (slots / str(number) / IMAGE).stat().st_size
    except OSError:
        return None


def hashed_again(slots: Path, staging: Path, number: int) -> bool:
    """Whether the image has the digest that its manifest says; it reads the whole image.

    Raises:
        ApplianceError: it cannot be read.
    """
    return asyncio.run(_store(slots, staging, number).intact(number))


def _store(slots: Path, staging: Path, count: int) -> SlotDirectory:
    return SlotDirectory(slots, staging, count=count)


def sizes_in(directory: Path) -> Mapping[str, int]:
    """Bytes by name, each with all below it; what goes away meanwhile counts nothing."""
    return {path.name: _size(path) for path in directory.iterdir()} if directory.is_dir() else {}


def _size(path: Path) -> int:
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(_size(below) for below in path.iterdir())
        return path.lstat().st_size
    except OSError:
        return 0


def is_executable(program: str) -> bool:
    """By path, or by name on PATH."""
    return shutil.which(program) is not None


def listens(host: str, port: int) -> bool:
    """Whether somebody takes a connection there."""
    try:
        # Of the addresses that mean all, each is good to connect to.
        with socket.create_connection((host, port), timeout=_ANSWER_S):
            return True
    except OSError:
        return False


def why_not_bindable(host: str, port: int) -> str | None:
    """The system's reason; None: a daemon could listen there."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with closing(socket.socket(family, kind, protocol)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
