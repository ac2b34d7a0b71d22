"""The state directory: its layout, its lock, and the room reserved for the database.

The reserve is a file of no content but its size. A full disk has room for the statements that
record a failed job only because that file is removed first; without it a job whose row cannot be
moved would hang between two states.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spsd.errors import StateError
from spsd.storage.files import sync_directory


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The paths under ``root``; ``slots`` may be a mount, the others share its file system."""

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
        """The self-signed pair, where none is configured."""
        return self.root / "tls"

    @property
    def lock(self) -> Path:
        """Locked by the daemon that works here."""
        return self.root / "lock"

    def prepare(self) -> None:
        """Make what is missing.

        Raises:
            StateError: it cannot be made or written.
        """
        try:
            for directory in (self.root, self.staging, self.slots, self.tls):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A power cut must not take the rooms that a durable row or image stands in.
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
        """Keep every other daemon out; the kernel lets go when the process ends, however.

        Raises:
            StateError: another daemon has it.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateError(
                    f"{self.root}: another spsd already works in this state directory"
                ) from error
            yield
        finally:
            os.close(descriptor)


SIZE = 1024 * 1024
"""Bytes; some dozens of statements."""


def reserve_of(database: Path) -> Path:
    """Where the room is kept; whoever finds it knows that the database has held rows."""
    return database.with_name(f"{database.name}.reserve")


class Reserve:
    """A file of no content but its size. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False

    def reserve(self) -> None:
        """Take the room if there is any; nothing happens if it is held already."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Really allocated: a file with a hole would keep nothing.
            os.posix_fallocate(descriptor, 0, SIZE)
            self.is_held = True
        finally:
            os.close(descriptor)
            if not self.is_held:
                self.release()

    def release(self) -> None:
        """Free the room."""
        self.is_held = False
        with suppress(FileNotFoundError):
            self._path.unlink()
