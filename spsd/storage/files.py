"""Atomic and durable files, free space, and translation of disk errors."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spsd.failures import ApplianceError, FailureCode

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_WAIT_S = 30.0
"""How long a file waits for a descriptor. Clients may not use up those of the process, but other
programs those of the system."""


def open_when_possible(path: Path, flags: int, *, wait_s: float = _WAIT_S) -> int:
    """A descriptor of the file, which has mode 0600 if it is created. It blocks.

    If the process or the system has no descriptor left, it is tried again for ``wait_s`` seconds.

    Raises:
        OSError: the file cannot be opened.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR or time.monotonic() >= deadline:
                raise
        time.sleep(0.05)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: the directory cannot be opened or synced.
    """
    descriptor = open_when_possible(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file. After a power cut it has either the old or the new content.

    The file has mode 0600 from the beginning, so that no other user can read it at any time.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = open_when_possible(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync_directory(path.parent)


@contextmanager
def as_appliance_errors(doing: str, *, into: Path | None = None, need: int = 0) -> Iterator[None]:
    """Translate the OSError of the body; ``doing`` names the failed action in the message.

    If the disk is full, the evidence is ``need``, the number of bytes that were to be written, and
    the free bytes on the file system of the directory ``into``.

    Raises:
        ApplianceError: with code ``disk_full``, or ``disk`` for every other error. It is transient
            if no descriptor was left.
    """
    try:
        yield
    except OSError as error:
        what = f"{doing} failed: {error.strerror or error}"
        if error.errno not in _FULL:
            transient = error.errno in _NO_DESCRIPTOR
            raise ApplianceError(FailureCode.DISK, what, transient=transient) from error
        evidence = {"needed bytes": need} | free_bytes(into) if into is not None else {}
        raise ApplianceError(FailureCode.DISK_FULL, what, evidence) from error


def free_bytes(directory: Path) -> dict[str, int]:
    """Evidence: the free bytes on the directory's file system; empty if they cannot be read."""
    try:
        return {"free bytes": room(directory)}
    except OSError:
        return {}


def room(directory: Path) -> int:
    """Free bytes on the directory's file system for an unprivileged writer.

    Raises:
        OSError: the directory does not exist, or its file system does not respond.
    """
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


SPARE_BYTES = 16 * 1024 * 1024
"""Bytes that downloads leave free on a file system, for the database and the manifests."""
