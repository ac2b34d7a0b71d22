"""Uploads over a real disk: the image is installed completely, or nothing is left."""

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from spsd.errors import (
    ChecksumMismatchError,
    IncompleteRequestBodyError,
    InsufficientStorageError,
    NoEmptySlotError,
    NotAnImageError,
    StorageFailedError,
)
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.slots.reservations import Holder
from spsd.slots.upload import Uploads
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.staging.directory import StagingDirectory
from testbed.iso import NEWS, NOTES, build_iso
from tests.disk import small_disk

PIECE = 64 * 1024


class Body:
    """Blocks of an upload; ``taken`` counts them; before block ``hang_at`` it waits forever."""

    def __init__(self, content: bytes, *, hang_at: int | None = None) -> None:
        self._pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
        self._hang_at = hang_at
        self.taken = 0
        self.hangs = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.taken == self._hang_at:
            self.hangs.set()
            await asyncio.Event().wait()
        if self.taken == len(self._pieces):
            raise StopAsyncIteration
        self.taken += 1
        return self._pieces[self.taken - 1]


def uploads_of(bench, **changes) -> Uploads:
    resources = dataclasses.replace(bench.resources, **changes)
    return Uploads(
        resources.staging,
        resources.slots,
        resources.inspector,
        bench.reservations,
        now=resources.now,
    )


async def receive(bench, content=None, *, length=None, expected=None, **changes):
    body = Body(bench.content if content is None else content)
    return await uploads_of(bench, **changes).receive(body, length=length, expected=expected)


async def nothing_is_left(bench, *, filled=()) -> None:
    assert bench.partials() == []
    held = await bench.resources.slots.slots()
    assert {number for number, content in held.items() if content is not None} == set(filled)
    assert [bench.reservations.holder(number) for number in held] == [None] * len(held)


async def test_an_image_is_installed(bench):
    slot, image = await receive(bench, length=len(bench.content), expected=bench.sha256)
    info = ImageInfo("2.5.0", NOTES, NEWS)
    assert (slot, image) == (
        1,
        InstalledImage(bench.sha256, len(bench.content), info, job=None, installed_at=200),
    )
    assert bench.installed() == bench.content
    assert (await bench.resources.slots.slots())[1] == image
    assert await bench.resources.slots.intact(1)
    await nothing_is_left(bench, filled=[1])


async def test_the_same_image_is_installed_once(bench):
    first = await receive(bench)
    assert await receive(bench) == first
    await nothing_is_left(bench, filled=[1])


async def test_the_same_image_twice_at_once_is_installed_once(bench):
    uploads = uploads_of(bench)
    got = await asyncio.gather(
        *(uploads.receive(Body(bench.content), length=None, expected=None) for _ in range(2))
    )
    assert got[0] == got[1]
    await nothing_is_left(bench, filled=[got[0][0]])


async def test_a_copy_that_is_not_intact_does_not_count(bench):
    await receive(bench)
    path = bench.root / "slots" / "1" / "image"
    path.chmod(0o600)
    path.write_bytes(b"rotten")
    slot, _ = await receive(bench)
    assert slot == 2
    assert bench.installed(2) == bench.content


async def test_without_an_empty_slot_nothing_is_read(bench):
    for _ in range(2):
        await bench.reservations.reserve(Holder.DOWNLOAD)
    body = Body(bench.content)
    with pytest.raises(NoEmptySlotError, match="Delete an image"):
        await uploads_of(bench).receive(body, length=None, expected=None)
    assert body.taken == 0
    assert bench.partials() == []


async def test_the_slot_is_reserved_while_bytes_come(bench):
    body = Body(bench.content, hang_at=2)
    upload = asyncio.create_task(uploads_of(bench).receive(body, length=None, expected=None))
    await body.hangs.wait()
    assert bench.reservations.holder(1) is Holder.UPLOAD
    assert len(bench.partials()) == 1
    upload.cancel()
    with suppress(asyncio.CancelledError):
        await upload
    await nothing_is_left(bench)


@pytest.mark.parametrize("steps", range(1, 60))
async def test_a_cancelled_upload_is_installed_completely_or_not_at_all(bench, steps):
    upload = asyncio.create_task(receive(bench))
    for _ in range(steps):
        await asyncio.to_thread(lambda: None)
    upload.cancel()
    await asyncio.wait([upload])
    filled = [n for n, content in (await bench.resources.slots.slots()).items() if content]
    await nothing_is_left(bench, filled=filled)
    if filled:
        assert bench.installed() == bench.content
        assert await bench.resources.slots.intact(1)


async def test_another_digest_is_refused(bench):
    expected = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ChecksumMismatchError) as caught:
        await receive(bench, expected=expected)
    assert caught.value.details == {
        "expected": expected,
        "computed": bench.sha256,
        "bytes": len(bench.content),
    }
    await nothing_is_left(bench)


async def test_a_file_that_is_no_image_is_refused(bench):
    with pytest.raises(NotAnImageError, match="begins with 6e6f20") as caught:
        await receive(bench, b"no image" * 10_000)
    assert caught.value.details["bytes"] == 80_000
    await nothing_is_left(bench)


async def test_an_empty_body_is_refused(bench):
    with pytest.raises(IncompleteRequestBodyError) as caught:
        await receive(bench, b"")
    assert caught.value.details == {"field": "firmware"}
    await nothing_is_left(bench)


class LittleRoom(StagingDirectory):
    """Reports ``room`` free bytes beyond the spare bytes, minus the written ones."""

    room = 2 * PIECE

    async def room_beyond(self, length: int) -> int:
        return await asyncio.to_thread(self._left)

    def _left(self) -> int:
        used = sum(path.stat().st_size for path in self._root.glob("*/image"))
        return SPARE_BYTES + self.room - used


def little_room(bench) -> LittleRoom:
    # Small blocks: few bytes wait to be written when the free space is read.
    return LittleRoom(bench.root / "staging", boot="this", block=PIECE)


async def test_an_upload_known_to_be_too_large_is_not_begun(bench):
    body = Body(bench.content)
    with pytest.raises(InsufficientStorageError) as caught:
        await uploads_of(bench, staging=little_room(bench)).receive(
            body, length=len(bench.content), expected=None
        )
    assert body.taken == 0
    assert caught.value.details == {"needed_bytes": len(bench.content), "free_bytes": 2 * PIECE}
    await nothing_is_left(bench)


async def test_an_upload_that_becomes_too_large_ends_before_the_disk_is_full(bench):
    with pytest.raises(InsufficientStorageError):
        await receive(bench, bytes(40 * PIECE), staging=little_room(bench))
    await nothing_is_left(bench)


class RoomUntilItIsWritten(StagingDirectory):
    """Another program fills the disk between the check and the write."""

    async def room_beyond(self, length: int) -> int:
        return 2 * SPARE_BYTES


@pytest.fixture
def full_disk(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        yield disk


async def test_a_full_disk_is_an_error_and_leaves_nothing(bench, full_disk):
    staging = RoomUntilItIsWritten(full_disk, boot="this")
    with pytest.raises(InsufficientStorageError, match="became full"):
        await receive(bench, bytes(40 * PIECE), staging=staging)
    assert list(full_disk.iterdir()) == []
    await nothing_is_left(bench)


async def test_a_slot_that_is_filled_by_hand_is_an_error(bench):
    filled = bench.root / "slots" / "1"

    class FilledMeanwhile(type(bench.resources.inspector)):
        async def inspect(self, key):
            await asyncio.to_thread((filled / "something").mkdir, parents=True)
            return await super().inspect(key)

    inspector = FilledMeanwhile(bench.root / "staging", accept_any=False)
    with pytest.raises(StorageFailedError, match="installing into slot 1"):
        await receive(bench, inspector=inspector)
    await nothing_is_left(bench, filled=[1])


async def test_two_images_at_once_get_two_slots(bench, tmp_path):
    other = build_iso(tmp_path / "other", version="9.9").read_bytes()
    got = await asyncio.gather(receive(bench), receive(bench, other))
    assert {slot for slot, _ in got} == {1, 2}
    await nothing_is_left(bench, filled=[1, 2])
