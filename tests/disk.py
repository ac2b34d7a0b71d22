"""Small file systems for tests, which can be filled to the last byte or made to fail."""

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
    """A tmpfs at ``path``; skips the test where none can be mounted."""
    path.mkdir(exist_ok=True)
    with mounted_tmpfs(path, f"{mebibytes}m"):
        yield path


@contextmanager
def mounted_tmpfs(path: Path, size: str) -> Iterator[Path]:
    """A tmpfs of ``size``, such as ``32m``, at a directory; skips the test if none is possible."""
    needs.now(needs.root())
    needs.now(needs.program("mount"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "spsd-test", path]
    if subprocess.run(mount, check=False).returncode != 0:
        needs.skip("a tmpfs mount, which this machine does not allow")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@dataclass(frozen=True)
class Failure:
    """Makes an ext4 file system fail when called: the kernel remounts it read-only."""

    disk: Path
    image: Path

    def __call__(self) -> None:
        trigger = _trigger(self.disk)
        trigger.write_text("an error that a test injects")
        # The kernel changes to read-only with the next write.
        with pytest.raises(OSError, match="Read-only"):
            (self.disk / "noticed").touch()

    def repair(self) -> None:
        """Repair the file system and mount it again, as an operator does."""
        subprocess.run(["umount", self.disk], check=True)
        subprocess.run(["e2fsck", "-fp", self.image], check=False, stdout=subprocess.DEVNULL)
        _mount(self.image, self.disk)


@contextmanager
def failing_disk(path: Path, mebibytes: int) -> Iterator[tuple[Path, Failure]]:
    """An ext4 at ``path``, and the object that makes it fail.

    Skips the test where no ext4 can be mounted, or the kernel has no trigger for an error.
    """
    needs.now(needs.program("mkfs.ext4"))
    path.mkdir()
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(mebibytes * 1024 * 1024)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        _mount(image, path)
    except (OSError, subprocess.CalledProcessError):
        needs.skip("an ext4 mount from a file, which this machine does not allow")
    try:
        if not _trigger(path).exists():
            needs.skip("a kernel that can make an ext4 fail (trigger_fs_error)")
        yield path, Failure(path, image)
    finally:
        subprocess.run(["umount", path], check=True)


def _mount(image: Path, path: Path) -> None:
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, path], check=True)


def _trigger(path: Path) -> Path:
    """The kernel's file that triggers an error in the file system that is mounted at ``path``."""
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    [device] = [source for source, target, *_ in lines if target == str(path)]
    assert device.startswith("/dev/loop")
    return Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"


def fill(disk: Path) -> None:
    """Fill the disk with a file until no byte is free."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        for step in (1024 * 1024, 4096, 1):
            try:
                while file.write(bytes(step)) == step:
                    pass
            except OSError:
                continue


def free_again(disk: Path) -> None:
    (disk / FILLER).unlink()
