"""A FUSE file system that passes everything on to a directory, and logs each effect.

    python -m scripts.programs.powercut.recorder BACKING MOUNT LOG

To make a directory named ``.mark-WORDS`` only adds a mark to the log. With it the client of the
daemon records its requests and responses in order with the effects on the disk.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import mfusepy

from scripts.programs.powercut.effects import (
    BEGIN,
    MARK,
    ROOT,
    Effect,
    Make,
    Mark,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
    append,
)

NOT_RECORDED = "-shm"
"""The suffix of SQLite's shared memory, the index of its log, which each start makes again."""


class Recorder(mfusepy.Operations):
    """The callbacks of FUSE."""

    use_ns = True

    def __init__(self, backing: str, log: Path) -> None:
        self._root = backing
        self._log = log.open("wb")
        self._nodes = {"/": ROOT}
        self._open: dict[int, int] = {}
        self._last_node = ROOT
        self._record_initial_state()

    def _record_initial_state(self) -> None:
        """Log everything in the directory as made and synced."""
        for real, directories, files in os.walk(self._root):
            here = os.path.normpath(os.path.join("/", os.path.relpath(real, self._root)))
            for name in (*directories, *files):
                path, source = os.path.join(here, name), Path(real, name)
                mode = source.lstat().st_mode & 0o7777
                if source.is_symlink():
                    self._made(path, "link", target=str(source.readlink()))
                elif source.is_dir():
                    self._made(path, "directory", mode)
                else:
                    node = self._made(path, "file", mode)
                    self._note(Write(node, 0, source.read_bytes()))
                    self._note(Sync(node))
            self._note(Sync(self._nodes[here]))
        self._note(Mark(BEGIN))

    def _real(self, path: str) -> str:
        return self._root + path

    def _note(self, effect: Effect) -> None:
        append(self._log, effect)

    def _made(self, path: str, kind: str, mode: int = 0, target: str = "") -> int:
        self._last_node += 1
        self._nodes[path] = self._last_node
        at, name = os.path.split(path)
        self._note(Make(self._nodes[at], name, self._last_node, kind, mode, target))
        return self._last_node

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        status = os.fstat(fh) if path is None else self._try(os.lstat, self._real(path))
        return {
            "st_mode": status.st_mode,
            "st_nlink": status.st_nlink,
            "st_uid": status.st_uid,
            "st_gid": status.st_gid,
            "st_size": status.st_size,
            "st_blocks": status.st_blocks,
            "st_atime": status.st_atime_ns,
            "st_mtime": status.st_mtime_ns,
            "st_ctime": status.st_ctime_ns,
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def readlink(self, path: str) -> str:
        return self._try(os.readlink, self._real(path))

    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self._real(path))
        return {name: getattr(status, name) for name in dir(status) if name.startswith("f_")}

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        descriptor = self._try(os.open, self._real(path), os.O_RDWR | os.O_CREAT, mode)
        if not path.endswith(NOT_RECORDED):
            self._open[descriptor] = self._made(path, "file", mode)
        return descriptor

    def open(self, path: str, flags: int) -> int:
        # Always for reading and writing: the kernel has checked the access mode, and may read
        # pages in order to write.
        descriptor = self._try(os.open, self._real(path), os.O_RDWR)
        if not path.endswith(NOT_RECORDED):
            self._open[descriptor] = self._nodes[path]
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
                self._note(Truncate(self._nodes[path], 0))
        return descriptor

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        size = os.pwrite(fh, data, offset)
        if fh in self._open:
            self._note(Write(self._open[fh], offset, data))
        return size

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(fh if path is None else self._real(path), length)
        node = self._open.get(fh) if fh is not None else self._nodes.get(path)
        if node is not None and not (path or "").endswith(NOT_RECORDED):
            self._note(Truncate(node, length))

    def fallocate(self, path: str, mode: int, offset: int, length: int, fh: int) -> int:
        if mode != 0:
            raise mfusepy.FuseOSError(errno.EOPNOTSUPP)
        os.posix_fallocate(fh, offset, length)
        if fh in self._open:
            self._note(Truncate(self._open[fh], os.fstat(fh).st_size))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        if fh in self._open:
            self._note(Sync(self._open[fh]))
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._note(Sync(self._nodes[path]))
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> None:
        name = os.path.basename(path)
        if name.startswith(MARK):
            self._note(Mark(name.removeprefix(MARK).replace("+", " ")))
            raise mfusepy.FuseOSError(errno.EEXIST)
        self._try(os.mkdir, self._real(path), mode)
        self._made(path, "directory", mode)

    def symlink(self, target: str, source: str) -> None:
        # mfusepy calls the new name `target`.
        self._try(os.symlink, source, self._real(target))
        self._made(target, "link", target=source)

    def rename(self, old: str, new: str) -> None:
        self._try(os.rename, self._real(old), self._real(new))
        at, name = os.path.split(old)
        to, new_name = os.path.split(new)
        self._note(Rename(self._nodes[at], name, self._nodes[to], new_name))
        moved = {p: n for p, n in self._nodes.items() if p == old or p.startswith(f"{old}/")}
        for path, node in moved.items():
            del self._nodes[path]
            self._nodes[new + path.removeprefix(old)] = node

    def unlink(self, path: str) -> None:
        self._remove(os.unlink, path)

    def rmdir(self, path: str) -> None:
        self._remove(os.rmdir, path)

    def chmod(self, path: str, mode: int, fh: int | None = None) -> int:
        os.chmod(self._real(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int, fh: int | None = None) -> int:
        return 0

    def utimens(self, path: str, times: Any = None, fh: int | None = None) -> int:
        return 0

    def _remove(self, remove: Any, path: str) -> None:
        self._try(remove, self._real(path))
        if not path.endswith(NOT_RECORDED):
            at, name = os.path.split(path)
            del self._nodes[path]
            self._note(Remove(self._nodes[at], name))

    def _try(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno) from error


if __name__ == "__main__":
    backing, mount, log = sys.argv[1:]
    os.umask(0)
    mfusepy.FUSE(
        Recorder(backing, Path(log)), mount, foreground=True, nothreads=True, hard_remove=True
    )
