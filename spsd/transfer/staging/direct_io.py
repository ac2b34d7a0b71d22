"""Writing an image past the page cache, where the file system supports that.

An image is written once and not read soon. In the page cache it would displace the files that the
appliance uses, and be written in one long stall at the sync. So whole pages are written with
O_DIRECT. Where that is not supported, the write-back is started at once, and clean pages are
dropped from the cache at each sync.
"""

import ctypes
import errno
import mmap
import os
from pathlib import Path

from spsd.storage.files import open_when_possible

PAGE = mmap.PAGESIZE
_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def buffers(count: int, size: int) -> list[memoryview]:
    """Page-aligned memory, as O_DIRECT requires it; it is freed with the last of the views."""
    memory = memoryview(mmap.mmap(-1, count * size))
    return [memory[n * size : (n + 1) * size] for n in range(count)]


class ImageFile:
    """An open image file; every method blocks, and raises the system's OSError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_when_possible(path, os.O_RDWR | os.O_CREAT)
        self._direct = _opened_direct(path)

    @property
    def is_direct(self) -> bool:
        """Whether whole pages are written past the page cache."""
        return self._direct is not None

    def write(self, block: memoryview, offset: int) -> int:
        """Write the block at ``offset``, or a part of it; returns how many bytes."""
        if self._direct is not None and offset % PAGE == 0 and len(block) % PAGE == 0:
            try:
                return os.pwrite(self._direct, block, offset)
            except OSError as error:
                # A successful open does not mean that every write is possible: a file system may
                # require a coarser alignment than pages.
                if error.errno != errno.EINVAL:
                    raise
                self._close_direct()
        size = os.pwrite(self._descriptor, block, offset)
        if self._direct is None:
            self._begin_write_back(offset, size)
        return size

    def read(self, size: int, offset: int) -> bytes:
        """The bytes from ``offset`` on: ``size`` of them, or fewer at the end of the file."""
        return os.pread(self._descriptor, size, offset)

    def truncate(self, length: int) -> None:
        """Set the file's length; zeros are added if it was shorter."""
        os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        """Return when every written byte and the file's length are durable."""
        # fdatasync also writes the length, as the data could not be read back without it. It covers
        # the writes of both descriptors, because they have the same inode.
        os.fdatasync(self._descriptor)
        # After the sync, because only clean pages are dropped.
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file; no other method may be called after this."""
        self._close_direct()
        os.close(self._descriptor)

    def _close_direct(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _begin_write_back(self, offset: int, size: int) -> None:
        # Only a hint, so errors are ignored: the sync writes what is not written by then.
        _libc.sync_file_range(
            self._descriptor,
            ctypes.c_int64(offset),
            ctypes.c_int64(size),
            ctypes.c_uint(_SYNC_FILE_RANGE_WRITE),
        )


def _opened_direct(path: Path) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None  # for any reason: writing through the page cache works too
