"""Bytes of an image from one file to another, past Python: the kernel moves or shares them."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from spsd.digest import Sha256

_FICLONE = 0x40049409
"""ioctl_ficlone(2): share the blocks, where the file system can."""
_PIECE = 16 * 1024 * 1024
_READ = 1024 * 1024
_CANNOT = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM}
)
"""What a way answers that is not for these two files; anything else is the disk's own trouble."""
Way = Callable[[int, int, int], None]
"""Copies so many bytes from one descriptor to another, both at the beginning."""


def clone(source: int, target: int, _size: int) -> None:
    """Share the blocks: at once, and without room for a second copy."""
    fcntl.ioctl(target, _FICLONE, source)


def copy_range(source: int, target: int, size: int) -> None:
    """copy_file_range(2): within the kernel, or within the storage."""
    at = 0
    while at < size:
        done = os.copy_file_range(source, target, min(_PIECE, size - at), at, at)
        if not done:
            raise OSError(errno.EIO, "the image is shorter than it was")
        at += done


def send(source: int, target: int, size: int) -> None:
    """sendfile(2): between any two file systems, old kernels too."""
    at = 0
    os.lseek(target, 0, os.SEEK_SET)
    while at < size:
        done = os.sendfile(target, source, at, min(_PIECE, size - at))
        if not done:
            raise OSError(errno.EIO, "the image is shorter than it was")
        at += done


WAYS: tuple[Way, ...] = (clone, copy_range, send)


def copy_image(source: Path, target: Path, *, ways: Sequence[Way] = WAYS) -> None:
    """Make ``target`` a copy of ``source``, on the disk when it returns.

    The ways are tried in turn, until one is not refused for these two files.

    Raises:
        OSError: the disk is full or broken, or no way leads from the one to the other.
    """
    with source.open("rb", buffering=0) as theirs:
        size = os.fstat(theirs.fileno()).st_size
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as ours:
            _first_that_can(ways)(theirs.fileno(), ours.fileno(), size)
            os.fsync(ours.fileno())
            # What is hashed next has to come from the disk, not from memory.
            os.posix_fadvise(ours.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _first_that_can(ways: Sequence[Way]) -> Way:
    def copy(source: int, target: int, size: int) -> None:
        *others, last = ways
        for way in others:
            try:
                return way(source, target, size)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
        return last(source, target, size)

    return copy


def digest_of(path: Path) -> Sha256:
    """The SHA-256 of a file as it is on the disk; blocks for as long as that takes."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ):
            digest.update(block)
    return Sha256(digest.hexdigest())
