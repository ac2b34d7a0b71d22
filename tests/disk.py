"""A small file system of its own, and how to fill it to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
FILLER = "filler"


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs at ``path``; the test is skipped where nobody may mount one."""
    path.mkdir()
    options = f"size={mebibytes}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "spsd-test", path], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


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
