"""Files that appear whole or not at all, free space, and disk errors under our own names."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spsd.failures import ApplianceError, FailureCode

_FULL = (errno.ENOSPC, errno.EDQUOT)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file: after a power cut it has the old content or the new one.

    At no moment can anybody but the owner read it.
    """
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync_directory(path.parent)


@contextmanager
def as_appliance_errors(doing: str, *, into: Path | None = None, need: int = 0) -> Iterator[None]:
    """Rename what the file system raises.

    Where the disk is full, the evidence is the ``need`` in bytes of what was to be written, and
    what is free on the file system of the directory ``into``.

    Raises:
        ApplianceError: ``disk_full`` or ``disk``.
    """
    try:
        yield
    except OSError as error:
        what = f"{doing} failed: {error.strerror or error}"
        if error.errno not in _FULL:
            raise ApplianceError(FailureCode.DISK, what) from error
        evidence = {"needed bytes": need} | free_bytes(into) if into is not None else {}
        raise ApplianceError(FailureCode.DISK_FULL, what, evidence) from error


def free_bytes(directory: Path) -> dict[str, int]:
    """Evidence: what is free on the directory's file system; empty if nobody can tell."""
    try:
        return {"free bytes": room(directory)}
    except OSError:
        return {}


def room(directory: Path) -> int:
    """Bytes that are free on the directory's file system, for an unprivileged writer."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


SPARE_BYTES = 16 * 1024 * 1024
"""Left free on a file system, for the database and the manifests."""
