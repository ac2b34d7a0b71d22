"""Bounded reads of an image file."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BYTES_LIMIT = 32 * 1024 * 1024
"""Most bytes that are read of one image; a directory of 90,000 files has up to 14 MiB."""

READS_LIMIT = 8192
"""Most calls of pread(2) for one image."""

RECORDS_LIMIT = 250_000
"""Most directory records that are looked at in one image: they bound the time, which is mostly
theirs. An image of 90,000 files in one directory has twice as many, in two trees.
"""


class LimitReachedError(Exception):
    """More of the image would have to be read than its bounds allow."""


class ImageSource:
    """An open image file; counts what is read of it, for the bounds and for tests.

    ``size`` is the length of the file in bytes when it was opened.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size
        self.bytes_read = 0
        self.reads = 0
        self.records = 0

    def read(self, at: int, count: int) -> bytes:
        """The ``count`` bytes from offset ``at``; fewer only where the file ends.

        Raises:
            LimitReachedError: this read would exceed :data:`BYTES_LIMIT` or :data:`READS_LIMIT`.
            OSError: the file cannot be read.
        """
        # An offset beyond the end may be too large for pread.
        if at >= self.size:
            return b""
        pieces = []
        while count > 0:
            if self.reads >= READS_LIMIT:
                raise LimitReachedError(f"it would take more than {READS_LIMIT} reads")
            if self.bytes_read + count > BYTES_LIMIT:
                raise LimitReachedError(f"more than {BYTES_LIMIT} bytes would have to be read")
            self.reads += 1
            piece = os.pread(self._descriptor, count, at)
            if not piece:
                break
            self.bytes_read += len(piece)
            pieces.append(piece)
            at += len(piece)
            count -= len(piece)
        return b"".join(pieces)

    def count_records(self, count: int) -> None:
        """Add directory records to those that were looked at.

        Raises:
            LimitReachedError: there are more than :data:`RECORDS_LIMIT`.
        """
        self.records += count
        if self.records > RECORDS_LIMIT:
            raise LimitReachedError(f"its directories have more than {RECORDS_LIMIT} records")


@contextmanager
def open_source(path: Path) -> Iterator[ImageSource]:
    """Open the image for the body of the ``with`` statement.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    # O_NONBLOCK: the open of a pipe that another program has put there would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        yield ImageSource(descriptor, status.st_size)
    finally:
        os.close(descriptor)
