"""The slot directory, and the inspector of images, over a real disk."""

import asyncio
import dataclasses
import gc
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.failures import ApplianceError, FailureCode, ImageError
from spsd.slots.directory import SlotDirectory
from spsd.slots.iso9660.inspector import IsoInspector, read_iso
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage
from spsd.transfer.staging.directory import StagingDirectory
from testbed.iso import NEWS, NOTES, build_iso

DATA = b"image" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
IMAGE = InstalledImage(DIGEST, len(DATA), ImageInfo("1", "n", None), "job", 5)


@pytest.fixture
async def slots(tmp_path):
    for name in ("staging", "slots"):
        (tmp_path / name).mkdir()
    async with StagingDirectory(tmp_path / "staging", boot="b").open(DIGEST) as partial:
        await partial.append(DATA)
        await partial.seal()
    return SlotDirectory(tmp_path / "slots", tmp_path / "staging", count=2)


async def test_an_installed_image_is_in_its_slot_only(slots, tmp_path):
    assert await slots.slots() == {1: None, 2: None}
    await slots.install(2, IMAGE, DIGEST)
    assert await slots.slots() == {1: None, 2: IMAGE}
    assert (tmp_path / "slots" / "2" / "image").read_bytes() == DATA
    assert list((tmp_path / "staging").iterdir()) == []
    assert await slots.intact(2)
    assert not await slots.intact(1)


async def test_without_a_directory_every_slot_is_empty(tmp_path):
    gone = SlotDirectory(tmp_path / "slots", tmp_path / "staging", count=2)
    assert await gone.slots() == {1: None, 2: None}


async def test_a_slot_that_is_not_empty_is_refused_and_the_source_stays(slots, tmp_path):
    (tmp_path / "slots" / "1").mkdir()
    (tmp_path / "slots" / "1" / "something").write_bytes(b"x")
    with pytest.raises(ApplianceError):
        await slots.install(1, IMAGE, DIGEST)
    assert (tmp_path / "staging" / DIGEST / "image").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "slots" / "1").iterdir()] == ["something"]
    assert isinstance((await slots.slots())[1], BrokenSlot)
    assert not await slots.intact(1)


class Holding(ThreadPoolExecutor):
    """Holds the result of the n-th call until :attr:`resume` is set."""

    def __init__(self, held):
        super().__init__(1)
        self.left = held
        self.loop = asyncio.get_running_loop()
        self.ran = asyncio.Event()
        self.resume = threading.Event()

    def submit(self, call, /, *args, **kwargs):
        self.left -= 1
        holds = self.left == 0

        def run():
            result = call(*args, **kwargs)
            if holds:
                self.loop.call_soon_threadsafe(self.ran.set)
                self.resume.wait(20)
            return result

        return super().submit(run)


@pytest.mark.parametrize("held", [1, 2, 3, 4])
async def test_a_cancel_while_an_image_is_hashed_closes_it(slots, held):
    """The interpreter closes a file that was left open, with a warning that fails the test."""
    await slots.install(1, IMAGE, DIGEST)
    executor = Holding(held)
    asyncio.get_running_loop().set_default_executor(executor)
    hashing = asyncio.create_task(slots.intact(1))
    await executor.ran.wait()
    hashing.cancel()
    await asyncio.sleep(0)
    executor.resume.set()
    with pytest.raises(asyncio.CancelledError):
        await hashing
    executor.shutdown()
    gc.collect()


@pytest.mark.parametrize("held", [1, 2, 3, 4, 5])
async def test_an_image_that_is_removed_meanwhile_is_not_intact(slots, tmp_path, held):
    await slots.install(1, IMAGE, DIGEST)
    executor = Holding(held)
    asyncio.get_running_loop().set_default_executor(executor)
    hashing = asyncio.create_task(slots.intact(1))
    await executor.ran.wait()
    (tmp_path / "slots" / "1").rename(tmp_path / "slots" / ".trash-1")
    executor.resume.set()
    assert await hashing is False
    executor.shutdown()


async def test_a_changed_byte_is_detected(slots, tmp_path):
    await slots.install(1, IMAGE, DIGEST)
    path = tmp_path / "slots" / "1" / "image"
    path.chmod(0o600)
    path.write_bytes(b"x" + DATA[1:])
    assert not await slots.intact(1)
    path.unlink()
    assert not await slots.intact(1)


@pytest.mark.parametrize("trees", ["joliet", "rr", "plain"])
def test_firmware_toml_is_read(tmp_path, trees):
    path = build_iso(tmp_path / "x", trees=trees, disk_info="Lab 9.9")
    assert read_iso(path) == ImageInfo("2.5.0", NOTES, NEWS)


@pytest.mark.parametrize("trees", ["joliet", "rr", "plain"])
def test_disk_info_is_next(tmp_path, trees):
    path = build_iso(tmp_path / "x", version=None, trees=trees, disk_info="Lab 9.9")
    assert read_iso(path) == ImageInfo("9.9", "Lab 9.9")


def test_the_volume_id_is_last(tmp_path):
    path = build_iso(tmp_path / "x", firmware=b"\xff no toml", volume_id="FW_2_7")
    assert read_iso(path) == ImageInfo("2.7")


@pytest.mark.parametrize("data", [b"", b"x", b"no image" * 10_000, bytes(100_000)])
async def test_a_file_without_a_volume_is_refused_or_raw(tmp_path, data):
    path = tmp_path / DIGEST / "image"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        await IsoInspector(tmp_path, accept_any=False).inspect(DIGEST)
    assert caught.value.code is FailureCode.NOT_AN_IMAGE
    assert await IsoInspector(tmp_path, accept_any=True).inspect(DIGEST) == ImageInfo("unknown")


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 255)), max_size=20))
def test_a_damaged_iso_is_read_or_refused(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("iso") / "x"
    data = bytearray(build_iso(path).read_bytes())
    for offset, value in damage:
        data[32_768 + offset if 32_768 + offset < len(data) else offset] = value
    path.write_bytes(data)
    try:
        assert read_iso(path).version
    except ImageError as error:
        assert error.code is FailureCode.NOT_AN_IMAGE  # noqa: PT017 - either end is right


async def test_an_uploaded_image_has_no_job(slots):
    uploaded = dataclasses.replace(IMAGE, job=None)
    await slots.install(1, uploaded, DIGEST)
    assert (await slots.slots())[1] == uploaded


async def test_manifests_of_earlier_versions_are_read(slots, tmp_path):
    await slots.install(1, IMAGE, DIGEST)
    (tmp_path / "slots" / "1" / "manifest.json").write_text(
        f'{{"sha256":"{DIGEST}","size":{len(DATA)},"job":"job","installed_at":5,'
        '"info":{"version":"1","upgrade_notes":"n","upgrade_news":null}}'
    )
    assert (await slots.slots())[1] == IMAGE


async def test_an_image_that_cannot_be_read_is_the_appliances_fault(tmp_path):
    for accept_any in (False, True):
        inspector = IsoInspector(tmp_path, accept_any=accept_any)
        with pytest.raises(ApplianceError) as caught:
            await inspector.inspect("a" * 64)
        assert caught.value.code is FailureCode.DISK
