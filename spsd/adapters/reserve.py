"""Room that is kept for the database, so that a full disk can still be written down.

Whoever fills the disk does not ask. The rows that say so need a few pages of the write-ahead log,
and a job whose row cannot be moved would hang between two states.
"""

import os
from contextlib import suppress
from pathlib import Path

SIZE = 1024 * 1024
"""Bytes; some dozens of statements."""


def reserve_of(database: Path) -> Path:
    """Where the room is kept; whoever finds it knows that the database has held rows."""
    return database.with_name(f"{database.name}.reserve")


class Reserve:
    """A file of no content but its size. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.whole = False

    def lay_by(self) -> None:
        """Take the room if there is any; nothing happens if it is held already."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Really allocated: a file with a hole would keep nothing.
            os.posix_fallocate(descriptor, 0, SIZE)
            self.whole = True
        finally:
            os.close(descriptor)
            if not self.whole:
                self.give()

    def give(self) -> None:
        """Free the room."""
        self.whole = False
        with suppress(FileNotFoundError):
            self._path.unlink()
