"""Slots on the wire: string keys, an empty body for an empty slot, and refused deletions."""

from pathlib import Path

import msgspec
import pytest

from spsd.digest import Sha256
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.slots.reservations import Holder
from spsd.system.host import slot_on_command_line
from tests.web.conftest import Api

SLOTS = "/api/firmware/slots"
IMAGE = InstalledImage(Sha256("a" * 64), 4, ImageInfo("2.5.0", "Text B"), "some job", 7)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Slot 1 runs, slot 2 holds an image, slot 3 is empty."""
    for number in (1, 2):
        slot = tmp_path / "slots" / str(number)
        slot.mkdir(parents=True)
        (slot / "image").write_bytes(b"iso!")
        (slot / "manifest.json").write_bytes(msgspec.json.encode(IMAGE))
    return tmp_path / "slots"


def slots_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def body(*, current: bool, after: bool | None = None) -> dict[str, object]:
    return {
        "after_reboot": current if after is None else after,
        "current": current,
        "upgrade_news": None,
        "upgrade_notes": "Text B",
        "version": "2.5.0",
    }


async def test_the_list_and_one_slot(api: Api, filled: Path) -> None:
    await api.start(current=1)
    client = await api.client("viewer")
    assert await (await client.get(SLOTS)).json() == {
        "items": [
            {"body": body(current=True), "key": "1", "meta": {"href": f"{SLOTS}/1"}},
            {"body": body(current=False), "key": "2", "meta": {"href": f"{SLOTS}/2"}},
            {"body": {}, "key": "3", "meta": {"href": f"{SLOTS}/3"}},
        ],
        "meta": {
            "current_slot": f"{SLOTS}/1",
            "href": SLOTS,
            "number_of_empty_slots": 1,
            "parent": "/api/firmware",
            "slot_after_reboot": f"{SLOTS}/1",
        },
    }
    for number, expected in (("2", body(current=False)), ("3", {})):
        assert await (await client.get(f"{SLOTS}/{number}")).json() == {
            "body": expected,
            "key": number,
            "meta": {"href": f"{SLOTS}/{number}", "parent": SLOTS},
        }


async def test_another_slot_is_chosen_for_the_next_boot(api: Api, filled: Path) -> None:
    await api.start(current=1)
    (filled / "next").symlink_to("2")
    client = await api.client()
    document = await (await client.get(SLOTS)).json()
    assert [item["body"] for item in document["items"]] == [
        body(current=True, after=False),
        body(current=False, after=True),
        {},
    ]
    assert document["meta"]["current_slot"] == f"{SLOTS}/1"
    assert document["meta"]["slot_after_reboot"] == f"{SLOTS}/2"
    slot = await (await client.get(f"{SLOTS}/2")).json()
    assert slot["body"] == body(current=False, after=True)
    for number in (1, 2):
        response = await client.delete(f"{SLOTS}/{number}")
        assert response.status == 409
        assert (await response.json())["error"]["type"] == "SlotInUse"
    assert slots_in(filled) == ["1", "2"]


@pytest.mark.parametrize("number", ["0", "4", "01", "-1", "x", "1.0", "99999", "²"])
async def test_no_such_slot(api: Api, filled: Path, number: str) -> None:
    client = await api.client()
    for method in ("GET", "DELETE"):
        response = await client.request(method, f"{SLOTS}/{number}")
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "ResourceNotFound"


async def test_an_image_is_deleted_once(api: Api, filled: Path) -> None:
    client = await api.client()
    response = await client.delete(f"{SLOTS}/2")
    assert response.status == 200
    assert await response.json() == {"meta": {"href": f"{SLOTS}/2", "parent": SLOTS}}
    assert slots_in(filled) == ["1"]
    assert (await client.delete(f"{SLOTS}/2")).status == 404


async def test_images_that_must_not_be_deleted(api: Api, filled: Path) -> None:
    await api.start(current=1)
    client = await api.client()
    for holder in Holder:
        assert await api.reservations.reserve(holder) == 3
        for number, reason in ((1, "running now"), (3, f"reserved by {holder}")):
            response = await client.delete(f"{SLOTS}/{number}")
            assert response.status == 409
            error = (await response.json())["error"]
            assert error["type"] == "SlotInUse"
            assert reason in error["message"]
        api.reservations.release(3)
    assert (await client.delete(f"{SLOTS}/3")).status == 404
    viewer = await api.client("viewer")
    assert (await viewer.delete(f"{SLOTS}/2")).status == 403
    assert slots_in(filled) == ["1", "2"]


async def test_the_manifest(api: Api, filled: Path) -> None:
    client = await api.client("viewer")
    assert await (await client.get(f"{SLOTS}/2/manifest")).json() == {
        "body": {
            "installed_at": "1970-01-01T00:00:07+00:00",
            "job": "some job",
            "sha256": "a" * 64,
            "size": 4,
        },
        "key": "2",
        "meta": {"href": f"{SLOTS}/2/manifest", "parent": f"{SLOTS}/2"},
    }
    for number, reason in (("3", "Slot 3 is empty."), ("4", "There is no slot 4"), ("x", "from 1")):
        response = await client.get(f"{SLOTS}/{number}/manifest")
        assert response.status == 404
        error = (await response.json())["error"]
        assert error["type"] == "ResourceNotFound"
        assert reason in error["message"]


async def test_a_slot_without_a_manifest_is_shown_and_can_be_emptied(
    api: Api, filled: Path
) -> None:
    (filled / "2" / "manifest.json").unlink()
    client = await api.client()
    response = await client.get(f"{SLOTS}/2/manifest")
    assert response.status == 404
    assert "no readable manifest" in (await response.json())["error"]["message"]
    shown = (await (await client.get(f"{SLOTS}/2")).json())["body"]
    assert shown["version"] == "unreadable"
    assert (await client.delete(f"{SLOTS}/2")).status == 200


async def test_images_deleted_before_a_power_cut_are_freed(api: Api, filled: Path) -> None:
    (filled / "2").rename(filled / ".trash-of-yesterday")
    await api.store.remove_leftovers()
    assert slots_in(filled) == ["1"]


@pytest.mark.parametrize(
    ("line", "slot"),
    [
        ("root=/dev/sda1 spsd.slot=3 quiet\n", 3),
        ("spsd.slot=12", 12),
        ("root=/dev/sda1 quiet", None),
        ("spsd.slot=0", None),
        ("spsd.slot=3x", None),
        ("xspsd.slot=3", None),
        ("spsd.slot=1 spsd.slot=2", None),
        ("spsd.slot=2 spsd.slot=2", 2),
    ],
)
def test_the_kernel_command_line(line: str, slot: int | None) -> None:
    assert slot_on_command_line(line) == slot
