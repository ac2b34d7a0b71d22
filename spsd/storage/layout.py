"""The state directory: its layout, its lock, and the disk space reserved for the database.

The reserve is a file without content, of a fixed size. When the disk is full, that file is removed,
and the freed space holds the statements that record a failed job. Without it a job whose row cannot
be written would stay between two states.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spsd.errors import StateError
from spsd.storage.files import sync_directory


class InUseError(StateError):
    """Another process holds the lock of the state directory."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The paths under ``root``. ``slots`` may be a mount point; the others share a file system."""

    root: Path

    @property
    def database(self) -> Path:
        """Jobs, history, accounts, sessions."""
        return self.root / "spsd.sqlite"

    @property
    def staging(self) -> Path:
        """Partial images."""
        return self.root / "staging"

    @property
    def slots(self) -> Path:
        """Installed images."""
        return self.root / "slots"

    @property
    def tls(self) -> Path:
        """The self-signed certificate and its key, if none is configured."""
        return self.root / "tls"

    @property
    def lock(self) -> Path:
        """The file that the running daemon holds a lock on."""
        return self.root / "lock"

    def prepare(self) -> None:
        """Create the directories that are missing, with mode 0700.

        Raises:
            StateError: a directory cannot be created or written.
        """
        try:
            for directory in (self.root, self.staging, self.slots, self.tls):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # After a power cut the directories of durable rows and images must still exist.
            sync_directory(self.root)
            sync_directory(self.root.parent)
        except OSError as error:
            raise StateError(
                f"{self.root}: the state directory cannot be used: {error.strerror}"
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise StateError(
                f"{self.root}: the state directory is not writable; check its owner and mode, and "
                "how its file system is mounted"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that keeps every other daemon out of this state directory.

        The kernel releases the lock when the process ends, however it ends. A command that migrates
        the database holds it meanwhile.

        Raises:
            InUseError: another process holds the lock.
            StateError: the file of the lock cannot be opened.
        """
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{self.lock}: cannot be opened: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUseError(
                    f"{self.root}: another spsd already uses this state directory; stop it, or set "
                    "another [state] directory"
                ) from error
            yield
        finally:
            os.close(descriptor)


RESERVE_BYTES = 1024 * 1024
"""Enough for some dozens of statements."""


def reserve_path(database: Path) -> Path:
    """The reserve of a database file. That it exists is evidence that the database had rows."""
    return database.with_name(f"{database.name}.reserve")


class Reserve:
    """A file without content that occupies disk space. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False
        """Whether the space is reserved."""

    def reserve(self) -> None:
        """Allocate the space; allocated space stays allocated.

        Raises:
            OSError: the file system has not enough space.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Allocates blocks: a sparse file would reserve nothing.
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            self.is_held = True
        finally:
            os.close(descriptor)
            if not self.is_held:
                self.release()

    def release(self) -> None:
        """Free the space."""
        self.is_held = False
        with suppress(FileNotFoundError):
            self._path.unlink()
