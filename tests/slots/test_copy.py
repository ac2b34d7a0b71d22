"""Slots on a file system of their own, and the methods to copy a file."""

import asyncio
import errno
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spsd.failures import ApplianceError, FailureCode
from spsd.slots.copy import COPY_METHODS, clone, copy_image, copy_range, hash_file, send
from spsd.slots.directory import SlotDirectory
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.transfer.staging.directory import StagingDirectory
from testbed import needs
from tests.disk import small_disk

DATA = os.urandom(1024) * 1500 + b"end"
DIGEST = hashlib.sha256(DATA).hexdigest()
IMAGE = InstalledImage(DIGEST, len(DATA), ImageInfo("1", "n", None), "job", 5)


@pytest.mark.parametrize("method", [copy_range, send])
def test_each_method_copies_every_byte(tmp_path: Path, method) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(DATA)
    copy_image(source, target, methods=(method,))
    assert target.read_bytes() == DATA
    assert hash_file(target) == DIGEST


def refusing(number: int):
    def method(_source: int, _target: int, _size: int) -> None:
        raise OSError(number, os.strerror(number))

    return method


@pytest.mark.parametrize(
    "number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY]
)
def test_after_an_unsupported_method_the_next_is_tried(tmp_path: Path, number: int) -> None:
    (tmp_path / "source").write_bytes(DATA)
    copy_image(tmp_path / "source", tmp_path / "target", methods=(refusing(number), send))
    assert (tmp_path / "target").read_bytes() == DATA


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_after_a_disk_error_no_other_method_is_tried(tmp_path: Path, number: int) -> None:
    (tmp_path / "source").write_bytes(DATA)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the test compares the number
        copy_image(tmp_path / "source", tmp_path / "target", methods=(refusing(number), send))
    assert caught.value.errno == number


def test_blocks_are_shared_before_they_are_copied() -> None:
    assert list(COPY_METHODS) == [clone, copy_range, send]


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from spsd.slots.directory import SlotDirectory
from spsd.slots.model import ImageInfo
from spsd.slots.model import InstalledImage

root, digest, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setuid(65534)
slots = SlotDirectory(root / "slots", root / "staging", count=5)
image = InstalledImage(digest, size, ImageInfo("1", "n", None), "job", 5)
# It is called when the copy is on the disk and not yet verified.
os.posix_fadvise = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(slots.install(1, image, digest))
"""
_AGAIN = """
import asyncio, os, sys
from pathlib import Path
from spsd.slots.directory import SlotDirectory
from spsd.transfer.staging.directory import StagingDirectory
from spsd.slots.model import ImageInfo
from spsd.slots.model import InstalledImage

root, digest, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setuid(65534)


async def main() -> None:
    slots = SlotDirectory(root / "slots", root / "staging", count=5)
    await slots.remove_leftovers()
    async with StagingDirectory(root / "staging", boot="b").open(digest) as partial:
        assert partial.length == size, partial.length
        assert await partial.seal() == digest
    image = InstalledImage(digest, size, ImageInfo("1", "n", None), "job", 5)
    await slots.install(1, image, digest)
    assert await slots.intact(1)


asyncio.run(main())
"""


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[SlotDirectory]:
    with slots_apart(tmp_path) as directory:
        yield directory


@contextmanager
def slots_apart(root: Path) -> Iterator[SlotDirectory]:
    """Slots on a tmpfs of four MiB, beside a staging directory."""
    slots, staging = root / "slots", root / "staging"
    slots.mkdir()
    staging.mkdir()
    with small_disk(slots, 4):
        yield SlotDirectory(slots, staging, count=5)


async def sealed(root: Path) -> None:
    async with StagingDirectory(root / "staging", boot="b").open(DIGEST) as partial:
        await partial.append(DATA)
        await partial.seal()


async def test_an_image_is_installed_by_a_copy(apart: SlotDirectory, tmp_path: Path) -> None:
    await sealed(tmp_path)
    await apart.install(2, IMAGE, DIGEST)
    assert (await apart.slots())[2] == IMAGE
    assert await apart.intact(2)
    image = tmp_path / "slots" / "2" / "image"
    assert image.read_bytes() == DATA
    assert image.stat().st_mode & 0o777 == 0o400
    assert sorted(path.name for path in image.parent.iterdir()) == ["image", "manifest.json"]
    assert [path.name for path in (tmp_path / "slots").iterdir()] == ["2"]
    assert list((tmp_path / "staging").iterdir()) == []


async def test_an_image_that_does_not_fit_is_an_error_and_leaves_nothing(
    apart: SlotDirectory, tmp_path: Path
) -> None:
    for slot in (1, 2, 3):
        await sealed(tmp_path)
        if slot < 3:
            await apart.install(slot, IMAGE, DIGEST)
    with pytest.raises(ApplianceError) as caught:
        await apart.install(3, IMAGE, DIGEST)
    assert caught.value.code is FailureCode.DISK_FULL
    assert caught.value.evidence["needed bytes"] == len(DATA) + 64 * 1024
    assert sorted(path.name for path in (tmp_path / "slots").iterdir()) == ["1", "2"]
    assert (tmp_path / "staging" / DIGEST / "image").read_bytes() == DATA


async def test_the_space_for_an_image_is_that_of_the_smaller_file_system(
    apart: SlotDirectory, tmp_path: Path
) -> None:
    """Before the download: the bytes on the staging disk are needed again on the slots' disk."""
    staging = StagingDirectory(tmp_path / "staging", boot="b", slots=tmp_path / "slots")
    assert await staging.room_beyond(0) == 4 * 2**20
    assert await staging.room_beyond(2**20) == 3 * 2**20
    assert await staging.room_beyond(5 * 2**20) == -(2**20)
    beside = StagingDirectory(tmp_path / "staging", boot="b", slots=tmp_path)
    assert await beside.room_beyond(2**20) > 4 * 2**20


async def test_a_copy_that_is_not_the_image_is_not_installed(
    apart: SlotDirectory, tmp_path: Path
) -> None:
    await sealed(tmp_path)
    image = tmp_path / "staging" / DIGEST / "image"
    image.write_bytes(b"x" + DATA[1:])
    with pytest.raises(ApplianceError) as caught:
        await apart.install(1, IMAGE, DIGEST)
    assert caught.value.code is FailureCode.DISK
    assert list((tmp_path / "slots").iterdir()) == []


async def test_a_slot_that_is_not_empty_is_not_changed(
    apart: SlotDirectory, tmp_path: Path
) -> None:
    (tmp_path / "slots" / "1").mkdir()
    (tmp_path / "slots" / "1" / "something").write_bytes(b"x")
    await sealed(tmp_path)
    with pytest.raises(ApplianceError):
        await apart.install(1, IMAGE, DIGEST)
    assert [path.name for path in (tmp_path / "slots").iterdir()] == ["1"]
    assert [path.name for path in (tmp_path / "slots" / "1").iterdir()] == ["something"]


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A directory for another user: pytest's own is closed to others by each run of pytest."""
    needs.now(needs.root())
    place = Path(tempfile.mkdtemp())
    try:
        yield place
    finally:
        shutil.rmtree(place)


async def test_a_daemon_without_root_installs_after_a_kill_during_the_copy(foreign: Path) -> None:
    """The image is read-only by then; only root may write to a read-only file."""
    with slots_apart(foreign):
        await sealed(foreign)
        for path in (foreign, *foreign.rglob("*")):
            os.chown(path, 65534, 65534)
        arguments = [str(foreign), DIGEST, str(len(DATA))]
        for script, status in ((_KILLED, -signal.SIGKILL), (_AGAIN, 0)):
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *arguments)
            assert await process.wait() == status
        assert (foreign / "slots" / "1" / "image").read_bytes() == DATA


async def test_an_incomplete_copy_is_removed(apart: SlotDirectory, tmp_path: Path) -> None:
    (tmp_path / "slots" / ".incoming-1").mkdir()
    (tmp_path / "slots" / ".incoming-1" / "image").write_bytes(b"half")
    await apart.remove_leftovers()
    assert list((tmp_path / "slots").iterdir()) == []
