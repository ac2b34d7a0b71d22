"""Event streams of a running daemon: a whole download, a kill, and a stop."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from spsd.testing.origin import Hang, Origin, Whole
from testbed.driver import FETCH, Daemon, in_loop, running
from testbed.iso import build_iso
from tests.events import ACCEPT, Stream


@asynccontextmanager
async def stream(daemon: Daemon, path: str = FETCH, **headers: str) -> AsyncIterator[Stream]:
    assert daemon.client is not None
    async with daemon.client.get(daemon.url + path, headers=ACCEPT | headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def test_a_stream_has_all_events_of_a_download(tmp_path: Path) -> None:
    content = build_iso(tmp_path / "a.iso", size=300_000).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    async with (
        Origin({"/a.iso": content}) as origin,
        in_loop(tmp_path) as daemon,
        stream(daemon) as events,
    ):
        assert (await events.next()).data["items"] == []
        key = await daemon.submit(origin.url("/a.iso"), digest)
        event = await events.until(status="finished", bytes_downloaded=len(content))
        assert event.data["key"] == key
        status, _ = await daemon.call("DELETE", f"{FETCH}/{key}")
        assert status == 200
        removed = await events.next()
        assert (removed.event, removed.data) == ("removed", {"key": key})


async def test_a_subscriber_that_reconnects_after_a_kill_gets_a_snapshot(tmp_path: Path) -> None:
    content = build_iso(tmp_path / "a.iso", size=300_000).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    acts = [Hang(100_000), Whole()]
    async with Origin({"/a.iso": content}, acts) as origin, running(tmp_path) as daemon:
        async with stream(daemon) as events:
            key = await daemon.submit(origin.url("/a.iso"), digest)
            last = (await events.until(status="in-progress", bytes_downloaded=100_000)).id
            etag = (await daemon.client.get(daemon.url + f"{FETCH}/{key}")).headers["ETag"]
            await daemon.kill()
        await daemon.start()
        async with stream(daemon, **{"Last-Event-ID": last}) as events:
            first = await events.next()
            assert (first.event, first.data["items"][0]["key"]) == ("snapshot", key)
        # A revision from before the kill never equals one from after it.
        since = etag.removeprefix('W/"').removesuffix('"')
        async with asyncio.timeout(20):
            status, _ = await daemon.call("GET", f"{FETCH}/{key}?wait=60&since={since}")
        assert status == 200
        await daemon.over(key)


async def test_a_stop_does_not_wait_for_subscribers(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon, stream(daemon) as events:
        await events.next()
        waiting = asyncio.create_task(daemon.call("GET", f"{FETCH}?wait=60"))
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        assert await events.next() is None
        async with asyncio.timeout(20):
            assert await daemon.process.wait() == 0
            await asyncio.wait([waiting])
