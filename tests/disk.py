"""A small file system of its own, and how to fill it to the last byte."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import needs

needs_root = needs.root()
FILLER = "filler"


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs at ``path``; the test is skipped where nobody may mount one."""
    path.mkdir(exist_ok=True)
    with mounted_tmpfs(path, f"{mebibytes}m"):
        yield path


@contextmanager
def mounted_tmpfs(path: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size at a directory; the test is skipped where nobody may mount one."""
    needs.now(needs.root())
    needs.now(needs.program("mount"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "spsd-test", path]
    if subprocess.run(mount, check=False).returncode != 0:
        needs.skip("a tmpfs mount, which this machine lets nobody make")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@dataclass(frozen=True)
class Failure:
    """Called: the kernel finds an error in the file system, and makes it read-only."""

    disk: Path
    image: Path

    def __call__(self) -> None:
        trigger = _trigger(self.disk)
        trigger.write_text("an error that a test wants")
        # That is noticed by the next one who writes.
        with pytest.raises(OSError, match="Read-only"):
            (self.disk / "noticed").touch()

    def mend(self) -> None:
        """What an operator does: repair it, and mount it again."""
        subprocess.run(["umount", self.disk], check=True)
        subprocess.run(["e2fsck", "-fp", self.image], check=False, stdout=subprocess.DEVNULL)
        _mount(self.image, self.disk)


@contextmanager
def failing_disk(path: Path, mebibytes: int) -> Iterator[tuple[Path, Failure]]:
    """An ext4 at ``path``, and how to make it fail; skipped where nobody may mount one."""
    needs.now(needs.program("mkfs.ext4"))
    path.mkdir()
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(mebibytes * 1024 * 1024)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        _mount(image, path)
    except (OSError, subprocess.CalledProcessError):
        needs.skip("an ext4 mount from a file, which this machine lets nobody make")
    try:
        if not _trigger(path).exists():
            needs.skip("a kernel that can make an ext4 fail (trigger_fs_error)")
        yield path, Failure(path, image)
    finally:
        subprocess.run(["umount", path], check=True)


def _mount(image: Path, path: Path) -> None:
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, path], check=True)


def _trigger(path: Path) -> Path:
    """Of this very file system: the device's name comes from where it is mounted."""
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    [device] = [source for source, target, *_ in lines if target == str(path)]
    assert device.startswith("/dev/loop")
    return Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        for step in (1024 * 1024, 4096, 1):
            try:
                while file.write(bytes(step)) == step:
                    pass
            except OSError:
                continue


def free_again(disk: Path) -> None:
    (disk / FILLER).unlink()
