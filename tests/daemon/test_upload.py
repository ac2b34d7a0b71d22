"""Uploads to a running daemon: crashes, curl, large images, and competition for the last slot."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from spsd.testing.origin import Hang, Origin
from testbed import needs
from testbed.driver import PASSWORD, USER, Daemon, in_loop, running
from testbed.iso import build_iso
from testbed.waiting import until

UPLOAD = "/api/upload/firmware"
MIB = 1024 * 1024
GIB = 1024 * MIB
MEMORY_LIMIT_MIB = 200


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    path = tmp_path / "image.iso"
    return build_iso(path, payload=bytes(range(256)) * 4096 * 3)


@asynccontextmanager
async def half_sent(daemon: Daemon, iso: Path) -> AsyncIterator[tuple[asyncio.Event, asyncio.Task]]:
    """An upload that has sent half of its bytes; it sends the rest when the event is set."""
    content = iso.read_bytes()
    send_rest = asyncio.Event()

    async def halves() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await send_rest.wait()
        yield content[len(content) // 2 :]

    upload = asyncio.create_task(daemon.call("POST", UPLOAD, data=halves()))
    try:
        await until(lambda: any((daemon.state / "staging").glob("upload-*/image")))
        yield send_rest, upload
    finally:
        upload.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await upload


async def test_a_crash_during_an_upload_leaves_nothing(iso: Path, tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        async with half_sent(daemon, iso):
            await daemon.kill()
        [left] = daemon.staged()
        assert left.startswith("upload-")
        await daemon.start()
        assert daemon.staged() == []
        assert daemon.filled() == []
        status, _ = await daemon.call("POST", UPLOAD, data=iso.open("rb"))
        assert status == 200


async def test_a_stop_during_an_upload_is_quick_and_leaves_nothing(
    iso: Path, tmp_path: Path
) -> None:
    async with in_loop(tmp_path) as daemon:
        async with half_sent(daemon, iso), asyncio.timeout(5):
            assert await daemon.stop() == 0
        assert daemon.staged() == []
        assert daemon.filled() == []


async def test_an_upload_before_a_download_gets_the_last_slot(iso: Path, tmp_path: Path) -> None:
    other = build_iso(tmp_path / "other.iso", version="9.9")
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    async with (
        Origin({"/other.iso": other}) as origin,
        in_loop(tmp_path, slots={"count": 1}) as daemon,
    ):
        async with half_sent(daemon, iso) as (send_rest, upload):
            key = await daemon.submit(origin.url("/other.iso"), digest)
            assert (await daemon.over(key))["error"].startswith("no_slot: ")
            assert origin.requests == []
            send_rest.set()
            status, document = await upload
            assert (status, document["key"]) == (200, "1")
        assert daemon.image(1).read_bytes() == iso.read_bytes()


async def test_a_download_before_an_upload_gets_the_last_slot(iso: Path, tmp_path: Path) -> None:
    other = build_iso(tmp_path / "other.iso", version="9.9", size=10 * MIB)
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    async with (
        Origin({"/other.iso": other}, [Hang(5 * MIB)]) as origin,
        in_loop(
            tmp_path, slots={"count": 1}, fetch={"stall_window_s": 1, "attempts": 50}
        ) as daemon,
    ):
        key = await daemon.submit(origin.url("/other.iso"), digest)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        status, document = await daemon.call("POST", UPLOAD, data=iso.open("rb"))
        assert (status, document["error"]["type"]) == (409, "NoEmptySlot")
        assert (await daemon.over(key))["status"] == "finished"
        assert daemon.image(1).read_bytes() == other.read_bytes()
        assert daemon.staged() == []


async def curl(daemon: Daemon, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--max-time", "30", "-b", daemon.root / "jar"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def log_in(daemon: Daemon) -> None:
    credentials = ("-u", f"{USER}:{PASSWORD}", "-c", str(daemon.root / "jar"))
    await curl(daemon, *credentials, f"{daemon.url}/api/authentication")


@needs.program("curl")
async def test_each_form_of_upload_by_curl(iso: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    ways = [
        ("-F", f"firmware=@{iso}"),
        ("-F", "comment=x", "-F", f"firmware=@{iso};type=application/x-iso9660-image"),
        ("--data-binary", f"@{iso}", "-H", "Content-Type: application/x-iso9660-image"),
        ("-T", str(iso), "-X", "POST"),
        ("-T", str(iso), "-X", "POST", "-H", "Expect: 100-continue"),
        ("-T", str(iso), "-X", "POST", "-H", "Transfer-Encoding: chunked"),
        ("-T", str(iso), "-X", "POST", "-H", f"X-Checksum-Sha256: {digest}"),
    ]
    async with in_loop(tmp_path, slots={"count": 1}) as daemon:
        await log_in(daemon)
        for way in ways:
            document = json.loads(await curl(daemon, *way, daemon.url + UPLOAD))
            assert document["body"]["version"] == "2.5.0", document
            assert daemon.image(1).read_bytes() == iso.read_bytes()
            status, _ = await daemon.call("DELETE", "/api/firmware/slots/1")
            assert status == 200
        assert daemon.staged() == []


async def longest_pause(daemon: Daemon) -> float:
    """Send small requests until cancelled; gives the longest time to a response, in seconds."""
    longest = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            start = time.monotonic()
            await daemon.call("GET", "/api")
            longest = max(longest, time.monotonic() - start)
            await asyncio.sleep(0.01)  # the interval between two requests
    return longest


async def curl_upload(daemon: Daemon, iso: Path, *, as_form: bool) -> dict:
    way = ("-F", f"firmware=@{iso}") if as_form else ("-T", str(iso), "-X", "POST")
    return json.loads(await curl(daemon, "--max-time", "280", *way, daemon.url + UPLOAD))


@needs.program("curl")
@pytest.mark.parametrize("as_form", [False, True])
async def test_four_at_once_in_little_memory(tmp_path: Path, as_form: bool) -> None:
    """Together they are larger than the memory limit, so they cannot all be in memory."""
    await four_at_once(tmp_path, size=64 * MIB, as_form=as_form)


@pytest.mark.timeout(300)
@needs.program("curl")
@pytest.mark.parametrize("as_form", [False, True])
async def test_four_large_ones_at_once_in_little_memory(tmp_path: Path, as_form: bool) -> None:
    await four_at_once(tmp_path, size=GIB, as_form=as_form)


async def four_at_once(tmp_path: Path, *, size: int, as_form: bool) -> None:
    """Upload from other processes, so that only pauses of the daemon are measured."""
    isos = [build_iso(tmp_path / f"{n}.iso", version=f"1.{n}", size=size) for n in range(4)]
    async with running(tmp_path, slots={"count": 4}) as daemon:
        await log_in(daemon)
        measuring = asyncio.create_task(longest_pause(daemon))
        start = time.monotonic()
        documents = await asyncio.gather(
            *(curl_upload(daemon, iso, as_form=as_form) for iso in isos)
        )
        took = time.monotonic() - start
        measuring.cancel()
        pause, peak = await measuring, daemon.memory_peak_mib()
        rate = 4 * size / MIB / took
        print(f"{rate:.0f} MiB/s, longest response {pause:.3f} s, peak {peak:.0f} MiB")
        assert [document["body"]["version"] for document in documents] == [
            f"1.{n}" for n in range(4)
        ]
        assert daemon.filled() == [1, 2, 3, 4]
        assert daemon.staged() == []
        assert peak < MEMORY_LIMIT_MIB
        for slot in (1, 2, 3, 4):
            daemon.image(slot).unlink()
