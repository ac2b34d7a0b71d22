"""The bytes of an image on their way to the disk, past the page cache where that can be had.

An image is written once and read by nobody soon. In the page cache it would push out what the
appliance lives on, and come to the disk in one long stall at the sync. So whole pages are written
with O_DIRECT; where that is not to be had, the write-back is begun at once and clean pages are let
go at each sync.
"""

import ctypes
import errno
import mmap
import os
from pathlib import Path

PAGE = mmap.PAGESIZE
_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def buffers(count: int, size: int) -> list[memoryview]:
    """Page-aligned memory, as O_DIRECT wants it; it goes with the last of the views."""
    memory = memoryview(mmap.mmap(-1, count * size))
    return [memory[n * size : (n + 1) * size] for n in range(count)]


class ImageFile:
    """An open image file; every method blocks, and raises OSError as the system does."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._direct = _opened_direct(path)

    @property
    def is_direct(self) -> bool:
        """Whether whole pages go past the page cache."""
        return self._direct is not None

    def write(self, block: memoryview, offset: int) -> int:
        """Write some of the block there, or all of it; how many bytes."""
        if self._direct is not None and offset % PAGE == 0 and len(block) % PAGE == 0:
            try:
                return os.pwrite(self._direct, block, offset)
            except OSError as error:
                # Opening is no promise: a file system may want coarser borders than pages.
                if error.errno != errno.EINVAL:
                    raise
                self._forgo_direct()
        size = os.pwrite(self._descriptor, block, offset)
        if self._direct is None:
            self._begin_write_back(offset, size)
        return size

    def read(self, size: int, offset: int) -> bytes:
        """As many bytes from there as there are, up to ``size``."""
        return os.pread(self._descriptor, size, offset)

    def truncate(self, length: int) -> None:
        """Cut the file, or lengthen it with zeros."""
        os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        """Return when all that was written is durable, with the file's length."""
        os.fdatasync(self._descriptor)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Nothing can be done with it any more."""
        self._forgo_direct()
        os.close(self._descriptor)

    def _forgo_direct(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _begin_write_back(self, offset: int, size: int) -> None:
        # A hint: what it cannot begin now, the sync does.
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
        return None  # whatever the reason, the page cache will do
