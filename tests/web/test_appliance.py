"""``/api/info`` and ``/api/health_status``: the documented shapes, with values of this machine."""

import hashlib
import socket
from pathlib import Path

import msgspec
import pytest

from spsd import __version__
from spsd.config import fingerprint_of
from spsd.digest import Sha256
from spsd.slots.model import ImageInfo, InstalledImage
from tests.web.conftest import IDLE_S, Api

CONTENT = b"what was installed"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Slot 2 holds an image."""
    slot = tmp_path / "slots" / "2"
    slot.mkdir(parents=True)
    digest = Sha256(hashlib.sha256(CONTENT).hexdigest())
    manifest = InstalledImage(digest, len(CONTENT), ImageInfo("2.4.0"), "some job", 7)
    (slot / "image").write_bytes(CONTENT)
    (slot / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return slot / "image"


async def test_the_info_without_a_session(api: Api) -> None:
    client = await api.client(None)
    document = await (await client.get("/api/info", headers={"Cookie": "session_id=0"})).json()
    assert document["key"] == "about_info"
    assert document["meta"] == {"href": "/api/info", "parent": "/api"}
    assert set(document["body"]) == {
        "domainname",
        "hostname",
        "nickname",
        "plugin_sdk_version",
        "support_link",
    }
    assert document["body"]["hostname"] == socket.gethostname().partition(".")[0]
    assert set(document["body"]["plugin_sdk_version"]) == {"feature", "full"}


async def test_the_info_with_a_session(api: Api, filled: Path) -> None:
    await api.start(current=2)
    client = await api.client("viewer")
    api.clock.seconds += 5
    document = await (await client.get("/api/info")).json()
    assert document["meta"] == {
        "href": "/api/info",
        "parent": "/api",
        "remaining_seconds": IDLE_S - 5,
    }
    additional = {
        "analytics_enabled": False,
        "build_date": None,
        "config_hash": fingerprint_of(api.settings),
        "firmware_version": "2.4.0",
        "roles": ["viewer"],
        "version": __version__,
    }
    assert document["body"].items() >= additional.items()
    assert len(document["body"]) == len(additional) + 5


@pytest.mark.parametrize("current", [None, 1, 9])
async def test_the_running_firmware_is_unknown(api: Api, filled: Path, current: int | None) -> None:
    await api.start(current=current)
    client = await api.client()
    assert (await (await client.get("/api/info")).json())["body"]["firmware_version"] is None


def health(status: str, tainted: int) -> dict[str, object]:
    return {
        "tainted_files": {"boot": 0, "core": tainted, "ha_other": 0},
        "integrity": {"boot": status, "core": status},
    }


async def test_the_health(api: Api, filled: Path) -> None:
    await api.start(current=2)
    client = await api.client("viewer")
    document = await (await client.get("/api/health_status")).json()
    assert set(document) == {"health_status", "meta"}
    status = document["health_status"]
    percents, averages = {"cpu", "disk", "memory", "swap"}, {"load1", "load5", "load15"}
    assert set(status) == percents | averages | {"firmware"}
    assert status["firmware"] == health("OK", 0)
    assert document["meta"] == {
        "href": "/api/health_status",
        "parent": "/api",
        "integrity_age_seconds": 0,
    }
    filled.write_bytes(b"what was not in it")
    api.clock.seconds += 61
    document = await (await client.get("/api/health_status")).json()
    assert document["meta"]["integrity_age_seconds"] == 61, "the earlier result, with its age"
    assert document["health_status"]["firmware"] == health("OK", 0)
    await api.integrity.recheck().wait()
    document = await (await client.get("/api/health_status")).json()
    assert document["health_status"]["firmware"] == health("CORRUPTED", 1)


async def test_the_health_of_unknown_firmware(api: Api, filled: Path) -> None:
    client = await api.client()
    document = await (await client.get("/api/health_status")).json()
    assert document["health_status"]["firmware"] == health("UNKNOWN", 0)


async def test_the_health_needs_a_session(api: Api) -> None:
    client = await api.client(None)
    assert (await client.get("/api/health_status")).status == 401
