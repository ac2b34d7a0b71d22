"""Promise f: a job from a bad origin fails with a code and evidence, and the next job runs."""

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spsd.system.certificate import ensure_self_signed, server_context
from spsd.testing.origin import (
    Act,
    CutAfter,
    Drip,
    Html,
    Origin,
    Refuse,
    Status,
    TooLong,
    TooShort,
    Whole,
)
from testbed import needs
from testbed.driver import in_loop
from testbed.iso import build_iso
from tests.disk import small_disk

SETTINGS = {"attempts": 2, "minimum_bytes_per_s": 1000, "stall_window_s": 1}


@pytest.mark.parametrize(
    ("act", "code", "evidence"),
    [
        (Refuse(), ("cut_off", "refused"), "attempt 2"),
        (Drip(1, 0.05), ("stall",), "less than 1000 bytes"),
        (Status(404), ("origin_status",), "404"),
        (Status(500), ("origin_status",), "500"),
        (Html("<html>log in</html>"), ("portal",), "text/html"),
        (CutAfter(0), ("cut_off",), "attempt 2"),
        (TooShort(100), ("digest",), "computed"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple | str) else "",
)
async def test_a_bad_origin(act: Act, code: tuple[str, ...], evidence: str, tmp_path: Path) -> None:
    iso = tmp_path / "image.iso"
    build_iso(iso)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    objects = {"/bad": iso, "/good": iso}
    async with (
        Origin(objects, always=act) as bad,
        Origin(objects, always=Whole()) as good,
        in_loop(tmp_path, fetch=SETTINGS) as daemon,
    ):
        body = await daemon.over(await daemon.submit(bad.url("/bad"), digest))
        assert body["status"] == "failed"
        assert body["info"] == "Firmware fetching failed"
        assert body["error"].startswith(tuple(f"{c}: " for c in code)), body["error"]
        assert evidence in body["error"]
        assert daemon.filled() == []
        body = await daemon.over(await daemon.submit(good.url("/good"), digest))
        assert body["status"] == "finished", body


async def test_a_body_longer_than_announced(tmp_path: Path) -> None:
    """The body ends at the length in the head; the digest or the surplus fails the job."""
    payload = bytes(50_000)
    async with (
        Origin({"/a": payload}, always=TooLong(10)) as origin,
        in_loop(tmp_path, fetch=SETTINGS) as daemon,
    ):
        digest = hashlib.sha256(payload).hexdigest()
        body = await daemon.over(await daemon.submit(origin.url("/a"), digest))
        assert body["status"] == "failed"
        assert body["error"].startswith(("digest: ", "too_long: "))
        assert daemon.filled() == []
        assert daemon.staged() == []


async def test_the_error_of_a_wrong_digest_has_both_digests_and_the_length(tmp_path: Path) -> None:
    payload = b"not what was promised"
    async with Origin({"/a": payload}) as origin, in_loop(tmp_path) as daemon:
        body = await daemon.over(await daemon.submit(origin.url("/a"), "A" * 64))
        assert body["error"].startswith("digest: ")
        assert "a" * 64 in body["error"]
        assert hashlib.sha256(payload).hexdigest() in body["error"]
        assert f"bytes {len(payload)}" in body["error"]
        assert daemon.staged() == []


async def test_what_is_no_iso_and_no_slot(tmp_path: Path) -> None:
    payload = b"no image at all" * 5000
    iso = tmp_path / "image.iso"
    build_iso(iso)
    good = hashlib.sha256(iso.read_bytes()).hexdigest()
    async with (
        Origin({"/a": payload, "/i": iso, "/j": b"j"}) as origin,
        in_loop(tmp_path, slots={"count": 1}) as daemon,
    ):
        digest = hashlib.sha256(payload).hexdigest()
        body = await daemon.over(await daemon.submit(origin.url("/a"), digest))
        assert body["error"].startswith("not_an_image: ")
        assert daemon.filled() == []
        body = await daemon.over(await daemon.submit(origin.url("/i"), good))
        assert body["slot_id"] == 1
        before = len(origin.requests)
        body = await daemon.over(await daemon.submit(origin.url("/j"), "b" * 64))
        assert body["error"].startswith("no_slot: ")
        assert len(origin.requests) == before, "it fails before a request"
        body = await daemon.over(await daemon.submit(origin.url("/elsewhere"), good))
        assert (body["status"], body["slot_id"]) == ("finished", 1)
        assert len(origin.requests) == before, "an installed image is not downloaded again"


async def test_addresses_that_are_refused(tmp_path: Path) -> None:
    async with (
        Origin({"/a": b"a"}) as origin,
        in_loop(tmp_path, fetch={"allow": []}) as daemon,
    ):
        hosts = {
            "127.0.0.1": "policy",
            "localhost": "policy",
            "[::ffff:127.0.0.1]": "policy",
            "0.0.0.0": "policy",
            "2130706433": "protocol",  # the client takes canonical IPv4 literals only
        }
        for host, code in hosts.items():
            url = f"http://{host}:{origin.port}/a"
            body = await daemon.over(await daemon.submit(url, "a" * 64))
            assert body["error"].startswith(f"{code}: "), (host, body["error"])
        assert origin.requests == []


@needs.root()
async def test_a_full_disk(tmp_path: Path) -> None:
    large, small = bytes(30_000_000), b"small"
    with small_disk(tmp_path / "state", 24):
        async with (
            Origin({"/large": large, "/small": small}) as origin,
            in_loop(tmp_path, slots={"accept": "any"}) as daemon,
        ):
            digest = hashlib.sha256(large).hexdigest()
            body = await daemon.over(await daemon.submit(origin.url("/large"), digest))
            assert body["error"].startswith("disk_full: ")
            assert "needed bytes 30000000" in body["error"]
            assert daemon.staged() == []
            digest = hashlib.sha256(small).hexdigest()
            body = await daemon.over(await daemon.submit(origin.url("/small"), digest))
            assert body["status"] == "finished", body
            await daemon.stop()


async def test_tls_policies(tmp_path: Path) -> None:
    """A certificate that does not verify is accepted, unless the setting is strict."""
    iso = tmp_path / "image.iso"
    build_iso(iso)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    pair = await asyncio.to_thread(ensure_self_signed, tmp_path, hostname="origin.example")
    context = await asyncio.to_thread(server_context, *pair)
    async with Origin({"/image.iso": iso}, ssl_context=context) as origin:
        url = f"https://localhost:{origin.port}/image.iso"
        async with in_loop(tmp_path, fetch={"tls": "strict"} | SETTINGS) as daemon:
            body = await daemon.over(await daemon.submit(url, digest))
            assert body["error"].startswith("tls: ")
            assert origin.bytes_sent == 0
            for settings, evidence in [
                ({"tls": "strict", "ca_file": str(pair[0])}, "tls verified"),
                ({"tls": "checksum"}, "tls not verified (self-signed certificate)"),
            ]:
                await daemon.stop()
                for slot in daemon.filled():
                    shutil.rmtree(daemon.image(slot).parent)
                daemon.fetch = settings
                daemon.configure()
                await daemon.start()
                key = await daemon.submit(url, digest)
                body = await daemon.over(key)
                assert body["status"] == "finished", body
                with closing(sqlite3.connect(daemon.state / "spsd.sqlite")) as database:
                    rows = database.execute(
                        "SELECT evidence FROM job_history WHERE cause = 'verify'"
                    ).fetchall()
                assert evidence in rows[-1][0]
