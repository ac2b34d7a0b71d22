"""Copies an image from one file to another within the kernel, without the bytes in Python."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from spsd.digest import Sha256
from spsd.storage.files import open_when_possible

_FICLONE = 0x40049409
"""Request number of ioctl_ficlone(2)."""
_PIECE = 16 * 1024 * 1024
_READ = 1024 * 1024
_UNSUPPORTED = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM}
)
"""Errors of a method that does not support these two files; any other is a failure of the disk."""
CopyMethod = Callable[[int, int, int], None]
"""Copies ``size`` bytes from the descriptor ``source`` to ``target``, from offset 0 to offset 0."""


def clone(source: int, target: int, _size: int) -> None:
    """ioctl_ficlone(2): share the blocks; takes no time and no space, where the file system can."""
    fcntl.ioctl(target, _FICLONE, source)


def copy_range(source: int, target: int, size: int) -> None:
    """copy_file_range(2): copy within the kernel, or within the storage."""
    at = 0
    while at < size:
        done = os.copy_file_range(source, target, min(_PIECE, size - at), at, at)
        if not done:
            raise OSError(errno.EIO, "the image became shorter during the copy")
        at += done


def send(source: int, target: int, size: int) -> None:
    """sendfile(2): copy between any two file systems, also with old kernels."""
    at = 0
    os.lseek(target, 0, os.SEEK_SET)
    while at < size:
        done = os.sendfile(target, source, at, min(_PIECE, size - at))
        if not done:
            raise OSError(errno.EIO, "the image became shorter during the copy")
        at += done


COPY_METHODS: tuple[CopyMethod, ...] = (clone, copy_range, send)


def copy_image(source: Path, target: Path, *, methods: Sequence[CopyMethod] = COPY_METHODS) -> None:
    """Make ``target`` a copy of ``source``; it is durable when this returns, but for its name.

    ``target`` must not exist. The methods are tried in order until one supports these two files.

    Raises:
        OSError: the disk is full or broken, or no method supports these two files.
    """
    with source.open("rb", buffering=0) as original:
        size = os.fstat(original.fileno()).st_size
        descriptor = open_when_possible(target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb", buffering=0) as copy:
            _first_supported(methods)(original.fileno(), copy.fileno(), size)
            os.fsync(copy.fileno())
            # Drop the cached pages, so that the hash that follows reads from the disk.
            os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _first_supported(methods: Sequence[CopyMethod]) -> CopyMethod:
    def copy(source: int, target: int, size: int) -> None:
        *earlier, last = methods
        for method in earlier:
            try:
                return method(source, target, size)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
        return last(source, target, size)

    return copy


def hash_file(path: Path) -> Sha256:
    """The SHA-256 of a file. Blocks until the whole file is read: call it on a thread."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ):
            digest.update(block)
    return Sha256(digest.hexdigest())
