"""No slot is reserved twice, whatever happens while the slots are listed."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from spsd.slots.directory import SlotDirectory
from spsd.slots.model import ImageInfo, InstalledImage, SlotContent
from spsd.slots.reservations import Holder, Reservations
from spsd.transfer.ports import StagingKey

IMAGE = InstalledImage("a" * 64, 1, ImageInfo("1"), None, 1)


class LateListing(SlotDirectory):
    """A listing that is read at once and returned when the gate opens."""

    gate: asyncio.Event
    listed: asyncio.Event

    async def slots(self) -> Mapping[int, SlotContent]:
        held = await super().slots()
        self.listed.set()
        await self.gate.wait()
        return held


@pytest.fixture
def store(tmp_path: Path) -> LateListing:
    for name in ("slots", "staging"):
        (tmp_path / name).mkdir()
    store = LateListing(tmp_path / "slots", tmp_path / "staging", count=2)
    store.gate = asyncio.Event()
    store.gate.set()
    store.listed = asyncio.Event()
    return store


async def test_each_reservation_is_of_another_slot_until_there_is_none(store: LateListing) -> None:
    reservations = Reservations(store)
    got = await asyncio.gather(*(reservations.reserve(Holder.UPLOAD) for _ in range(3)))
    assert got == [1, 2, None]
    reservations.release(1)
    assert reservations.holder(1) is None
    assert await reservations.reserve(Holder.DOWNLOAD) == 1
    assert (reservations.holder(1), reservations.holder(2)) == (Holder.DOWNLOAD, Holder.UPLOAD)


async def test_a_slot_that_was_filled_during_the_listing_is_not_given_again(
    store: LateListing, tmp_path: Path
) -> None:
    reservations = Reservations(store)
    assert await reservations.reserve(Holder.UPLOAD) == 1
    store.gate.clear()
    store.listed.clear()
    late = asyncio.create_task(reservations.reserve(Holder.DOWNLOAD))
    later = asyncio.create_task(reservations.reserve(Holder.DOWNLOAD))
    await store.listed.wait()
    staged = tmp_path / "staging" / "s"
    staged.mkdir()
    (staged / "image").write_bytes(b"x")
    await store.install(1, IMAGE, StagingKey("s"))
    reservations.release(1)
    store.gate.set()
    assert await late == 2
    assert await later is None


async def test_a_cancelled_reservation_reserves_nothing(store: LateListing) -> None:
    reservations = Reservations(store)
    store.gate.clear()
    reserve = asyncio.create_task(reservations.reserve(Holder.UPLOAD))
    await asyncio.sleep(0)
    reserve.cancel()
    await asyncio.wait([reserve])
    store.gate.set()
    assert await reservations.reserve(Holder.UPLOAD) == 1
