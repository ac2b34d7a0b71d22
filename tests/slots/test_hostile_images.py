"""Images that have the requested digest, but that were made to end, stall or fill the daemon."""

import hashlib
import struct
from pathlib import Path

import pytest

from spsd.testing.origin import Origin
from testbed.driver import in_loop
from testbed.iso import build_iso, firmware_toml

SECTOR = 2048
UPLOAD = "/api/upload/firmware"


def changed_path_table(path: Path) -> Path:
    """The path tables of a sound image give a directory another place than its record does."""
    data = bytearray(build_iso(path, disk_info="Lab 9.9").read_bytes())
    little, big = (
        struct.unpack_from(form, data, 16 * SECTOR + at)[0] * SECTOR
        for form, at in (("<I", 140), (">I", 148))
    )
    # The root's entry has 10 bytes; the location follows two bytes later.
    data[little + 12] ^= 0x40
    data[big + 15] ^= 0x40
    path.write_bytes(data)
    return path


def long_key(path: Path) -> Path:
    """A ``firmware.toml`` with one key of 30,000 parts, for which tomllib needs minutes."""
    return build_iso(path, firmware=b"a" + b".a" * 30_000 + b"=1\n", disk_info="Lab 2.5.0")


def deep_array(path: Path) -> Path:
    """A ``firmware.toml`` with arrays in arrays in arrays: tomllib raises RecursionError."""
    return build_iso(path, firmware=b"a = " + b"[" * 60_000, disk_info="Lab 2.5.0")


def long_number(path: Path) -> Path:
    """A ``firmware.toml`` with more digits than Python converts: tomllib raises ValueError."""
    return build_iso(path, firmware=b"a = " + b"1" * 60_000, disk_info="Lab 2.5.0")


def many_digits(path: Path) -> Path:
    """A ``.disk/info`` of digits alone, which a regular expression may read once for each digit."""
    return build_iso(path, version=None, disk_info="1" * 65_000, volume_id="FW_2_5_0")


IMAGES = (changed_path_table, long_key, deep_array, long_number, many_digits)
"""Each has version 2.5.0."""


@pytest.mark.parametrize("accept", ["iso", "any"])
@pytest.mark.parametrize("make", IMAGES, ids=lambda make: make.__name__)
async def test_the_daemon_installs_it_and_the_next_one(make, accept, tmp_path):
    hostile = make(tmp_path / "hostile.iso").read_bytes()
    sound = build_iso(tmp_path / "sound.iso", firmware=firmware_toml("3.0.0")).read_bytes()
    async with (
        Origin({"/hostile.iso": hostile, "/sound.iso": sound}) as origin,
        in_loop(tmp_path, slots={"count": 2, "accept": accept}) as daemon,
    ):
        for name, content in (("hostile", hostile), ("sound", sound)):
            digest = hashlib.sha256(content).hexdigest()
            body = await daemon.over(await daemon.submit(origin.url(f"/{name}.iso"), digest))
            assert body["status"] == "finished", body
        _, listed = await daemon.call("GET", "/api/firmware/slots")
        versions = [slot["body"]["version"] for slot in listed["items"]]
        assert versions == ["2.5.0", "3.0.0"]
        assert (await daemon.call("DELETE", "/api/firmware/slots/1"))[0] == 200
        status, document = await daemon.call("POST", UPLOAD, data=hostile)
        assert (status, document["body"]["version"]) == (200, "2.5.0")
