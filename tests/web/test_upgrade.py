"""Test and upgrade on the wire: shapes and refusals. tests/slots has the tests of the service."""

import hashlib
import logging
from pathlib import Path

import msgspec
import pytest

from spsd.digest import Sha256
from spsd.slots.model import ImageInfo, InstalledImage
from testbed.iso import build_iso
from tests.web.conftest import Api

TEST, UPGRADE, SLOTS = "/api/firmware/test", "/api/firmware/upgrade", "/api/firmware/slots"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Slots 1 and 2 hold an image, slot 3 is empty."""
    for number, version in ((1, "2.4.0"), (2, "2.5.0")):
        slot = tmp_path / "slots" / str(number)
        slot.mkdir(parents=True)
        content = build_iso(slot / "image", version=version).read_bytes()
        digest = Sha256(hashlib.sha256(content).hexdigest())
        image = InstalledImage(digest, len(content), ImageInfo(version, "Text B"), None, 7)
        (slot / "manifest.json").write_bytes(msgspec.json.encode(image))
    return tmp_path / "slots"


def hook(root: Path, *lines: str) -> str:
    path = root / "hook"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("path", [TEST, UPGRADE])
@pytest.mark.parametrize("slot_id", [2, 2.0, "2"])
async def test_the_response(api: Api, filled: Path, path: str, slot_id: float | str) -> None:
    await api.start(current=1)
    client = await api.client()
    response = await client.post(path, json={"slot_id": slot_id})
    document = await response.json()
    assert response.status == 200, document
    summary = document["body"]["test_summary"]
    assert document == {
        "body": {"test_summary": summary},
        "key": "2",
        "meta": {"href": path, "parent": "/api/firmware", "slot": f"{SLOTS}/2"},
    }
    assert [line.partition(":")[0] for line in summary.split("\n")] == [
        "Image check",
        "Volume check",
        "Space check",
    ]
    listed = await (await client.get(SLOTS)).json()
    chosen = 2 if path == UPGRADE else 1
    assert listed["meta"]["current_slot"] == f"{SLOTS}/1"
    assert listed["meta"]["slot_after_reboot"] == f"{SLOTS}/{chosen}"
    bodies = {item["key"]: item["body"] for item in listed["items"]}
    assert (bodies["1"]["current"], bodies["1"]["after_reboot"]) == (True, chosen == 1)
    assert (bodies["2"]["current"], bodies["2"]["after_reboot"]) == (False, chosen == 2)
    for number in {1, chosen}:
        refused = await client.delete(f"{SLOTS}/{number}")
        assert refused.status == 409
        assert (await refused.json())["error"]["type"] == "SlotInUse"


@pytest.mark.parametrize("path", [TEST, UPGRADE])
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 400, "IncompleteRequestBodyError"),
        ({"slot_id": 3}, 404, "ResourceNotFound"),
        ({"slot_id": 4}, 404, "ResourceNotFound"),
        ({"slot_id": 10**30}, 400, "InvalidRequestBodyError"),
        ({"slot_id": 0}, 400, "InvalidRequestBodyError"),
        ({"slot_id": -1}, 400, "InvalidRequestBodyError"),
        ({"slot_id": 1.5}, 400, "InvalidRequestBodyError"),
        ({"slot_id": "two"}, 400, "InvalidRequestBodyError"),
        ({"slot_id": "²"}, 400, "InvalidRequestBodyError"),
        ({"slot_id": None}, 400, "InvalidRequestBodyError"),
        ({"slot_id": True}, 400, "InvalidRequestBodyError"),
        ({"slot_id": 2, "force": True}, 400, "InvalidRequestBodyError"),
    ],
)
async def test_refusals(
    api: Api, filled: Path, path: str, body: object, status: int, kind: str
) -> None:
    client = await api.client()
    response = await client.post(path, json=body)
    document = await response.json()
    assert (response.status, document["error"]["type"]) == (status, kind)
    if kind == "IncompleteRequestBodyError":
        assert document["error"]["details"] == {"field": "slot_id", "resource": path}
    assert not (filled / "next").exists()


@pytest.mark.parametrize("path", [TEST, UPGRADE])
async def test_a_failed_test(api: Api, filled: Path, tmp_path: Path, path: str) -> None:
    await api.start(upgrade={"test_hooks": (hook(tmp_path, "echo no battery; exit 3"),)})
    client = await api.client()
    response = await client.post(path, json={"slot_id": 2})
    error = (await response.json())["error"]
    assert (response.status, error["type"]) == (409, "FirmwareTestFailed")
    assert error["details"]["check"] == "hook hook"
    assert error["details"]["resource"] == path
    assert "Hook hook: failed" in error["details"]["test_summary"]
    assert "no battery" in error["details"]["test_summary"]
    assert not (filled / "next").exists()


@pytest.mark.parametrize("message", [{}, {"message": None}, {"message": "monthly upgrade"}])
async def test_the_message_is_logged(
    api: Api, filled: Path, message: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    client = await api.client()
    with caplog.at_level(logging.INFO, "spsd"):
        response = await client.post(UPGRADE, json={"slot_id": 2} | message)
    assert response.status == 200
    [record] = [record for record in caplog.records if "for the next boot" in record.message]
    assert record.message.startswith("admin chose slot 2, version 2.5.0")
    assert record.message.endswith(message.get("message") or "no message")


async def test_a_viewer_may_neither_test_nor_upgrade(api: Api, filled: Path) -> None:
    client = await api.client("viewer")
    for path in (TEST, UPGRADE):
        assert (await client.post(path, json={"slot_id": 2})).status == 403
