"""Partial files on disk: appending, durability, cancellation and full disks."""

import asyncio
import errno
import hashlib
import os
import random
import shutil
import tempfile
import threading
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.failures import ApplianceError, FailureCode
from spsd.transfer.ports import upload_key
from spsd.transfer.rules.messages import Prefix, ResponseHead
from spsd.transfer.staging.directory import StagingDirectory
from spsd.transfer.staging.partial_file import BLOCK, DEPTH
from tests.disk import small_disk

DIGEST = "d" * 64
UPLOAD = upload_key(UUID(int=7))
URL = "http://x/y"
HEAD = ResponseHead(200, {"etag": '"a"'})


@pytest.fixture
def staging(tmp_path):
    return StagingDirectory(tmp_path, boot="this")


@pytest.mark.parametrize("appended", [0, 1, 5000, BLOCK - 1, BLOCK])
async def test_a_buffer_survives_a_clear(staging, appended):
    async with staging.open(DIGEST) as partial:
        await partial.append(bytes(appended))
        buffer = await partial.buffer()
        size = min(len(buffer), 3000)
        buffer[:size] = bytes([7]) * size
        assert await partial.buffer() == buffer
        await partial.clear()
        await partial.describe(URL, HEAD, size)
        partial.commit(size)
        assert await partial.seal() == hashlib.sha256(bytes([7]) * size).hexdigest()
        assert partial.length == size
        assert await partial.read(0, BLOCK) == bytes([7]) * size


@settings(deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=3000), max_size=12))
async def test_block_boundaries_never_change_the_digest(blocks):
    root = await asyncio.to_thread(tempfile.mkdtemp)
    async with StagingDirectory(Path(root), boot="this").open(DIGEST) as partial:
        for block in blocks:
            await partial.append(block)
        whole = b"".join(blocks)
        assert await partial.seal() == hashlib.sha256(whole).hexdigest()
        assert partial.length == partial.synced == len(whole)
    assert (Path(root) / DIGEST / "image").read_bytes() == whole


async def test_a_reopened_partial_is_hashed_again(staging):
    async with staging.open(DIGEST) as partial:
        await partial.describe(URL, HEAD, 8)
        await partial.append(b"abcd")
    async with staging.open(DIGEST) as partial:
        assert partial.prefix(URL) == Prefix(4, 8, '"a"', same_url=True)
        assert not partial.prefix("http://mirror/y").same_url
        await partial.append(b"efgh")
        assert await partial.seal() == hashlib.sha256(b"abcdefgh").hexdigest()


async def test_appended_bytes_can_be_read_at_once(staging):
    async with staging.open(DIGEST) as partial:
        for _ in range(2 * DEPTH):
            await partial.append(b"abcd")
        assert await partial.read(0, 6) == b"abcdab"
        assert await partial.read(8 * DEPTH - 3, 100) == b"bcd"
        assert await partial.read(1000, 5) == await partial.read(0, 0) == b""
        await partial.append(b"e")
        assert await partial.seal() == hashlib.sha256(b"abcd" * 2 * DEPTH + b"e").hexdigest()


async def test_after_a_reboot_only_synced_bytes_count(staging, tmp_path):
    async with staging.open(DIGEST) as partial:
        await partial.append(b"abcd")
        await partial.seal()
        await partial.append(b"efgh")
    async with StagingDirectory(tmp_path, boot="next").open(DIGEST) as partial:
        assert partial.length == 4
        assert await partial.seal() == hashlib.sha256(b"abcd").hexdigest()


async def test_clear_removes_bytes_and_record(staging):
    async with staging.open(DIGEST) as partial:
        await partial.describe(URL, HEAD, 8)
        await partial.append(b"abcd")
        await partial.clear()
        assert partial.prefix(URL) == Prefix(same_url=False)
        await partial.append(b"x")
        assert await partial.seal() == hashlib.sha256(b"x").hexdigest()


async def test_discard_and_keys(staging, tmp_path):
    for key in (DIGEST, UPLOAD):
        async with staging.open(key):
            pass
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "upload-of-mine").mkdir()
    assert set(await staging.keys()) == {DIGEST, UPLOAD}
    for key in (DIGEST, UPLOAD, DIGEST):
        await staging.discard(key)
    assert list(await staging.keys()) == []


async def test_a_full_disk_is_reported(tmp_path):
    with small_disk(tmp_path, 2):
        with pytest.raises(ApplianceError) as caught:  # noqa: PT012 - the disk fills at any of them
            async with StagingDirectory(tmp_path, boot="this").open(DIGEST) as partial:
                for _ in range(8):
                    await partial.append(bytes(512 * 1024))
                await partial.seal()
        assert caught.value.code is FailureCode.DISK_FULL


async def receive(partial, block):
    """Append as a download does: received bytes are appended at once, however few."""
    rest = memoryview(block)
    while rest:
        buffer = await partial.buffer()
        size = min(len(rest), len(buffer))
        buffer[:size] = rest[:size]
        partial.commit(size)
        rest = rest[size:]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3) | st.integers(BLOCK - 2, 2 * BLOCK + 2)),
        max_size=6,
    )
)
async def test_whole_pages_and_odd_ends_make_one_prefix(steps):
    root = await asyncio.to_thread(tempfile.mkdtemp, dir=Path(__file__).parent)
    try:
        whole = b""
        async with StagingDirectory(Path(root), boot="this").open(DIGEST) as partial:
            for at_once, size in steps:
                block = random.Random(size).randbytes(size)
                await (receive(partial, block) if at_once else partial.append(block))
                whole += block
            assert await partial.seal() == hashlib.sha256(whole).hexdigest()
        assert (Path(root) / DIGEST / "image").read_bytes() == whole
    finally:
        await asyncio.to_thread(shutil.rmtree, root)


async def test_a_buffer_survives_the_removal_of_the_old_bytes(staging, tmp_path):
    """A body that starts over is read before the old bytes are removed."""
    async with staging.open(DIGEST) as partial:
        await receive(partial, b"old" * 1000)
        buffer = await partial.buffer()
        buffer[:3] = b"new"
        await partial.clear()
        partial.commit(3)
        await receive(partial, b"er" * BLOCK)
        assert await partial.seal() == hashlib.sha256(b"new" + b"er" * BLOCK).hexdigest()
    assert (tmp_path / DIGEST / "image").read_bytes() == b"new" + b"er" * BLOCK


@pytest.mark.parametrize("refuses", ["open", "write", None])
async def test_with_and_without_the_page_cache(tmp_path, monkeypatch, refuses):
    """A file system may refuse O_DIRECT when the file is opened, or only when it is written."""
    real_open, real_write = os.open, os.pwrite
    direct, lengths = set(), []

    def opened(path, flags, *mode, **where):
        if flags & os.O_DIRECT and refuses == "open":
            raise OSError(errno.EINVAL, "Invalid argument")
        descriptor = real_open(path, flags, *mode, **where)
        if flags & os.O_DIRECT:
            direct.add(descriptor)
        return descriptor

    def pwrite(descriptor, block, offset):
        if descriptor in direct:
            if refuses == "write":
                raise OSError(errno.EINVAL, "Invalid argument")
            lengths.append(len(block))
        return real_write(descriptor, block, offset)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "pwrite", pwrite)
    whole = random.Random(7).randbytes(3 * BLOCK + 17)
    async with StagingDirectory(tmp_path, boot="this boot").open(DIGEST) as partial:
        await receive(partial, whole)
        assert await partial.seal() == hashlib.sha256(whole).hexdigest()
    assert (tmp_path / DIGEST / "image").read_bytes() == whole
    assert lengths == ([BLOCK] * 3 if refuses is None else [])


async def test_a_cancel_while_the_ring_is_full_leaves_a_plain_prefix(tmp_path):
    """The oldest block still waits for the disk at the time of the cancellation."""
    staging = StagingDirectory(tmp_path, boot="this boot")
    blocks = [bytes([n]) * 1000 for n in range(DEPTH + 1)]
    disk = threading.Event()
    async with staging.open(DIGEST) as partial:
        partial._writer.submit(disk.wait)
        for block in blocks[:-1]:
            await receive(partial, block)
        waiting = asyncio.create_task(receive(partial, blocks[-1]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        disk.set()
    prefix = (tmp_path / DIGEST / "image").read_bytes()
    assert prefix == b"".join(blocks[:-1])


async def test_after_a_failed_write_nothing_more_is_written(tmp_path, monkeypatch):
    """Otherwise a later block would be written at the position of the failed one."""
    staging = StagingDirectory(tmp_path, boot="this boot")
    real, calls = os.pwrite, []

    def pwrite(descriptor, block, offset):
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(errno.EIO, "a bad sector")
        return real(descriptor, block, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    async with staging.open(DIGEST) as partial:
        for n in range(DEPTH):
            await receive(partial, bytes([n]) * 1000)
        with pytest.raises(ApplianceError) as caught:
            await partial.seal()
    assert caught.value.code is FailureCode.DISK
    assert calls == [0, 1000]
    assert (tmp_path / DIGEST / "image").read_bytes() == b""  # nothing was synced


class SlowToOpen(StagingDirectory):
    begun = threading.Event()
    disk = threading.Event()

    def _open(self, key):
        self.begun.set()
        self.disk.wait()
        return super()._open(key)


async def test_a_cancelled_open_creates_nothing_later(tmp_path):
    """Otherwise the directory would be created during or after its removal."""
    staging = SlowToOpen(tmp_path, boot="this boot")

    async def opened():
        async with staging.open(UPLOAD):
            pytest.fail("it was cancelled")

    opening = asyncio.create_task(opened())
    await asyncio.to_thread(staging.begun.wait)
    opening.cancel()
    threading.Timer(0.05, staging.disk.set).start()
    await asyncio.wait([opening])
    assert opening.cancelled()
    await staging.discard(UPLOAD)
    await asyncio.to_thread(lambda: None)
    assert staging.disk.is_set()
    assert list(tmp_path.iterdir()) == []


async def test_a_cancel_while_it_is_closed_leaves_no_thread(tmp_path):
    """The check for threads that are left after a test would fail."""
    staging = StagingDirectory(tmp_path, boot="this boot")
    closing = asyncio.Event()

    async def written():
        async with staging.open(UPLOAD) as partial:
            await partial.append(b"abcd")
            closing.set()

    writing = asyncio.create_task(written())
    await closing.wait()
    writing.cancel()
    await asyncio.wait([writing])
    assert writing.cancelled()
