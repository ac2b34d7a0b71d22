"""Size and number: an image over the 2 and 4 GiB limits, and a thousand jobs."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from spsd.testing.origin import Origin
from testbed.driver import FETCH, running
from testbed.iso import build_iso

GIB = 1024**3
MEMORY_LIMIT_MIB = 150


@pytest.mark.timeout(300)
async def test_five_gibibytes_in_little_memory(tmp_path: Path) -> None:
    iso = tmp_path / "huge.iso"
    build_iso(iso, size=5 * GIB)
    with iso.open("rb") as file:
        digest = (await asyncio.to_thread(hashlib.file_digest, file, "sha256")).hexdigest()
    async with Origin({"/huge.iso": iso}) as origin, running(tmp_path) as daemon:
        key = await daemon.submit(origin.url("/huge.iso"), digest)
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        assert body["bytes_downloaded"] == 5 * GIB
        peak = daemon.memory_peak_mib()
        print(f"peak resident memory {peak:.0f} MiB")
        assert peak < MEMORY_LIMIT_MIB
        assert daemon.image(body["slot_id"]).stat().st_size == 5 * GIB
    daemon.image(body["slot_id"]).unlink()


@pytest.mark.timeout(180)
async def test_a_kill_among_a_thousand_jobs_loses_none(tmp_path: Path) -> None:
    """Each job requests an object that does not exist, so that one request ends it."""
    concurrent = 4
    async with Origin({}) as origin, running(tmp_path, fetch={"concurrent": concurrent}) as daemon:
        simultaneous = asyncio.Semaphore(32)

        async def submit(number: int) -> str:
            async with simultaneous:
                return await daemon.submit(origin.url(f"/{number}"), f"{number:064x}")

        keys = await asyncio.gather(*(submit(number) for number in range(1000)))
        assert len(set(keys)) == 1000
        await origin.wait_for_requests(300)
        await daemon.kill()
        requested_before = len(origin.requests)
        assert requested_before < 1000
        await daemon.start()
        _, document = await daemon.call("GET", FETCH)
        assert {item["key"] for item in document["items"]} == set(keys)
        for key in keys:
            body = await daemon.over(key)
            assert body["status"] == "failed"
            assert body["error"].startswith("origin_status: ")
        paths = [request.path for request in origin.requests]
        assert len(set(paths)) == 1000
        # Only jobs that were running at the kill may have sent two requests.
        assert len(paths) - 1000 <= concurrent
