"""Promise e: a cancel takes effect within a second wherever a job can be cancelled."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from spsd.testing.origin import Act, CutAfter, Hang, Origin, Refuse, SlowHeaders, Status, Whole
from testbed.driver import FETCH, Daemon, in_loop, running
from testbed.iso import build_iso

SECOND = 1.0


async def cancel(daemon: Daemon, key: str) -> None:
    async with asyncio.timeout(SECOND):
        status, body = await daemon.call("DELETE", f"{FETCH}/{key}")
    assert status == 200, body
    assert (await daemon.job(key))["status"] == "cancelled"


@pytest.mark.parametrize(
    "act", [Hang(100_000), SlowHeaders(30.0)], ids=["within-the-body", "before-the-head"]
)
async def test_cancel_while_downloading(act: Act, tmp_path: Path) -> None:
    payload = bytes(200_000)
    async with Origin({"/a": payload}, acts=[act]) as origin, running(tmp_path) as daemon:
        key = await daemon.submit(origin.url("/a"), hashlib.sha256(payload).hexdigest())
        await origin.wait_for_requests(1)
        await cancel(daemon, key)
        assert daemon.staged() == []
        assert daemon.filled() == []
        await daemon.kill()
        await daemon.start()
        assert (await daemon.job(key))["status"] == "cancelled"
        assert len(origin.requests) == 1


async def test_cancel_and_stop_while_a_name_is_resolved(tmp_path: Path) -> None:
    async with running(tmp_path, "hang-dns") as daemon:
        key = await daemon.submit("http://hang.example/a", "a" * 64)
        await daemon.until(key, lambda body: body["status"] == "in-progress")
        await cancel(daemon, key)
        key = await daemon.submit("http://hang.example/a", "a" * 64)
        await daemon.until(key, lambda body: body["status"] == "in-progress")
        async with asyncio.timeout(5):
            assert await daemon.stop() == 0


@pytest.mark.parametrize(
    "act",
    [Refuse(), Status(503, retry_after=3600), CutAfter(100_000)],
    ids=lambda a: type(a).__name__,
)
async def test_cancel_while_waiting_for_the_next_attempt(act: Act, tmp_path: Path) -> None:
    settings = {"fetch": {"backoff_initial_s": 30, "backoff_limit_s": 60}}
    payload = bytes(200_000)
    async with (
        Origin({"/a": payload}, always=act) as origin,
        in_loop(tmp_path, **settings) as daemon,
    ):
        key = await daemon.submit(origin.url("/a"), hashlib.sha256(payload).hexdigest())
        await daemon.until_caused(key, "fail")
        # aiohttp may send a request again after a connection reset.
        before = len(origin.requests)
        await cancel(daemon, key)
        assert daemon.staged() == []
        assert len(origin.requests) == before


async def test_cancel_of_a_queued_and_of_a_running_job_with_one_digest(tmp_path: Path) -> None:
    payload = bytes(200_000)
    digest = hashlib.sha256(payload).hexdigest()
    async with (
        Origin({"/a": payload}, acts=[Hang(100_000)]) as origin,
        in_loop(tmp_path, slots={"accept": "any"}) as daemon,
    ):
        running_key = await daemon.submit(origin.url("/a"), digest)
        queued_key = await daemon.submit(origin.url("/a"), digest)
        await origin.wait_for_requests(1)
        await cancel(daemon, queued_key)
        assert daemon.staged() == [digest], "the running job keeps its partial file"
        await cancel(daemon, running_key)
        assert daemon.staged() == []
        again = await daemon.submit(origin.url("/a"), digest)
        assert (await daemon.over(again))["status"] == "finished"


async def test_no_cancel_while_installing(tmp_path: Path) -> None:
    iso, gate = tmp_path / "image.iso", tmp_path / "gate"
    build_iso(iso)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    async with (
        Origin({"/image.iso": iso}) as origin,
        running(tmp_path, "hold-installing", str(gate)) as daemon,
    ):
        key = await daemon.submit(origin.url("/image.iso"), digest)
        body = await daemon.until(key, lambda body: body["info"] == "Installing")
        assert body["status"] == "in-progress"
        status, document = await daemon.call("DELETE", f"{FETCH}/{key}")
        assert status == 409
        assert document["error"]["type"] == "FetchNotCancellable"
        gate.touch()
        assert (await daemon.over(key))["status"] == "finished"


async def test_the_second_delete_removes_the_record_and_the_third_gets_404(tmp_path: Path) -> None:
    async with (
        Origin({"/a": b"a"}, acts=[Hang(0)]) as origin,
        in_loop(tmp_path) as daemon,
    ):
        key = await daemon.submit(origin.url("/a"), "a" * 64)
        await cancel(daemon, key)
        assert (await daemon.call("DELETE", f"{FETCH}/{key}"))[0] == 200
        assert (await daemon.call("DELETE", f"{FETCH}/{key}"))[0] == 404
        assert (await daemon.call("GET", f"{FETCH}/{key}"))[0] == 404


async def test_a_cancel_at_the_end_of_a_job_has_one_consistent_result(tmp_path: Path) -> None:
    """Each job is small enough to finish at about the time of the DELETE; both ends occur."""
    objects = {f"/{n}": f"image {n}".encode() * 2000 for n in range(24 * 8)}
    ends: set[str] = set()
    async with (
        Origin(objects, always=Whole()) as origin,
        in_loop(tmp_path, slots={"accept": "any", "count": 99}) as daemon,
    ):
        for number, (path, payload) in enumerate(objects.items()):
            key = await daemon.submit(origin.url(path), hashlib.sha256(payload).hexdigest())
            # The delay covers the whole duration of the job, however long that is on this machine.
            # It only decides at which moment the DELETE arrives.
            sweep, step = divmod(number, 24)
            await asyncio.sleep(step * 0.002 * 2**sweep)
            ends.add(await _end_after_delete(daemon, key))
            if step == 23 and "cancelled" in ends and ends - {"cancelled"}:
                return
    pytest.fail(f"after eight sweeps only {ends}")


async def _end_after_delete(daemon: Daemon, key: str) -> str:
    status, document = await daemon.call("DELETE", f"{FETCH}/{key}")
    if status == 409:
        assert (await daemon.over(key))["status"] == "finished"
    else:
        assert status == 200, document
    status, document = await daemon.call("GET", f"{FETCH}/{key}")
    # A DELETE after the end of the job has removed its record.
    end: str = document["body"]["status"] if status == 200 else "removed"
    manifests = [p.read_text() for p in daemon.state.glob("slots/*/manifest.json")]
    assert any(key in text for text in manifests) == (end != "cancelled")
    assert daemon.staged() == []
    return end
