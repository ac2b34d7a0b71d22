"""The checks of the running firmware, over a real slot directory."""

import asyncio
import hashlib
import logging
from contextlib import asynccontextmanager, suppress

import pytest

from spsd.slots.directory import SlotDirectory
from spsd.slots.integrity import Integrity, IntegrityReport, IntegrityStatus
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.transfer.ports import download_key
from spsd.transfer.staging.directory import StagingDirectory
from testbed.waiting import until_seen

DATA = b"firmware" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
KEY = download_key(DIGEST)
NEVER_S = 3600.0


class Clock:
    seconds = 5000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
async def store(tmp_path):
    """Three slots: an image in 1, nothing in 2 and 3."""
    for name in ("staging", "slots"):
        (tmp_path / name).mkdir()
    async with StagingDirectory(tmp_path / "staging", boot="b").open(KEY) as partial:
        await partial.append(DATA)
        await partial.seal()
    slots = SlotDirectory(tmp_path / "slots", tmp_path / "staging", count=3)
    await slots.install(1, InstalledImage(DIGEST, len(DATA), ImageInfo("1"), "job", 5), KEY)
    return slots


@pytest.fixture
def image(store, tmp_path):
    path = tmp_path / "slots" / "1" / "image"
    path.chmod(0o600)
    return path


@asynccontextmanager
async def running(store, *, current=lambda: 1, clock=Clock, every_s=NEVER_S):
    integrity = Integrity(store, current=current, clock=clock(), every_s=every_s)
    task = asyncio.create_task(integrity.run())
    try:
        async with asyncio.timeout(10):
            yield integrity
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_unchanged_image_is_ok_and_the_age_of_the_check_grows(store):
    clock = Clock()
    async with running(store, clock=lambda: clock) as integrity:
        assert await integrity.latest() == IntegrityReport(IntegrityStatus.OK, age_s=0)
        clock.seconds += 61.9
        report = await integrity.latest()
        assert (report, report.changed_files) == (IntegrityReport(IntegrityStatus.OK, age_s=61), 0)
        await integrity.recheck().wait()
        assert (await integrity.latest()).age_s == 0


async def test_a_changed_byte_is_detected_at_the_next_check(store, image, caplog):
    async with running(store) as integrity:
        await integrity.latest()
        image.write_bytes(DATA[:-1] + b"X")
        assert (await integrity.latest()).status is IntegrityStatus.OK
        await integrity.recheck().wait()
        report = await integrity.latest()
    assert (report.status, report.changed_files) == (IntegrityStatus.CORRUPTED, 1)
    assert [r.levelno for r in caplog.records if "slot 1" in r.message] == [logging.ERROR]


async def test_the_next_check_comes_after_the_interval(store, image):
    async with running(store, every_s=0.001) as integrity:
        await integrity.latest()
        image.write_bytes(DATA[:-1] + b"X")
        await until_seen(integrity.latest, lambda report: report.status is not IntegrityStatus.OK)


async def test_a_repaired_image_is_ok_again(store, image):
    image.write_bytes(b"X")
    async with running(store) as integrity:
        assert (await integrity.latest()).status is IntegrityStatus.CORRUPTED
        image.write_bytes(DATA)
        await integrity.recheck().wait()
        assert (await integrity.latest()).status is IntegrityStatus.OK


async def test_a_missing_image_is_corrupted(store, image):
    image.unlink()
    async with running(store) as integrity:
        assert (await integrity.latest()).status is IntegrityStatus.CORRUPTED


@pytest.mark.parametrize("manifest", [None, b"{"])
async def test_a_broken_manifest_is_corrupted(store, image, manifest):
    path = image.with_name("manifest.json")
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    async with running(store) as integrity:
        assert (await integrity.latest()).status is IntegrityStatus.CORRUPTED


@pytest.mark.parametrize("current", [None, 2, 99])
async def test_without_a_known_running_slot_the_status_is_unknown(store, current):
    async with running(store, current=lambda: current) as integrity:
        report = await integrity.latest()
    assert (report.status, report.changed_files) == (IntegrityStatus.UNKNOWN, 0)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/proc/self/mem", id="read"),  # its first page gives EIO
        pytest.param("x" * 300, id="stat"),  # longer than a name may be
    ],
)
async def test_a_disk_error_is_corrupted_and_the_checks_continue(store, image, target, caplog):
    image.unlink()
    image.symlink_to(target)
    async with running(store) as integrity:
        assert (await integrity.latest()).status is IntegrityStatus.CORRUPTED
        assert "slot 1, the running firmware, cannot be checked" in caplog.text
        image.unlink()
        image.write_bytes(DATA)
        await integrity.recheck().wait()
        assert (await integrity.latest()).status is IntegrityStatus.OK


async def test_each_check_reads_the_current_slot(store):
    current = [2]
    async with running(store, current=lambda: current[0]) as integrity:
        assert (await integrity.latest()).status is IntegrityStatus.UNKNOWN
        current[0] = 1
        await integrity.recheck().wait()
        assert (await integrity.latest()).status is IntegrityStatus.OK


class Held:
    """A store whose result a test holds."""

    def __init__(self, store):
        self.store = store
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def slots(self):
        return await self.store.slots()

    async def intact(self, slot):
        intact = await self.store.intact(slot)
        self.entered.set()
        await self.release.wait()
        return intact


async def test_the_first_report_waits_for_the_first_check(store):
    held = Held(store)
    async with running(held) as integrity:
        await held.entered.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await integrity.latest()
        held.release.set()
        assert (await integrity.latest()).status is IntegrityStatus.OK


async def test_a_recheck_during_a_check_leads_to_another_check(store, image):
    held = Held(store)
    async with running(held) as integrity:
        await held.entered.wait()
        image.write_bytes(b"X")
        done = integrity.recheck()
        held.release.set()
        await done.wait()
        assert (await integrity.latest()).status is IntegrityStatus.CORRUPTED
