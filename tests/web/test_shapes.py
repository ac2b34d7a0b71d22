"""The documented shapes with exact keys and types, and invented values."""

from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.transfer.ports import Progress
from tests.web.conftest import Api

FETCH = "/api/firmware/fetch"
SIBLINGS = {
    "slots": "/api/firmware/slots",
    "test": "/api/firmware/test",
    "upgrade": "/api/firmware/upgrade",
}
NOW = 1_935_652_522
START = "2031-05-04T09:15:22+00:00"
URL = "https://images.example.org/appliance-2.iso"

QUEUED = Job.submitted(
    JobKey("6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21"), URL, Sha256("a" * 64), now=NOW
)
RUNNING = QUEUED.start(4, now=NOW)
INSTALLING = RUNNING.verified(734003200, "", now=NOW)


def body(**changes: object) -> dict[str, object]:
    return {
        "bytes_downloaded": 0,
        "bytes_total": 0,
        "error": None,
        "info": None,
        "slot_id": None,
        "start_time": START,
        "status": "queued",
        "url": URL,
    } | changes


NO_SLOT = ApplianceError(FailureCode.NO_SLOT, "there is no empty slot")
DONE = {"bytes_downloaded": 734003200, "bytes_total": 734003200}

SAMPLES = {
    "queued": (QUEUED, body(start_time=None)),
    "queued again": (RUNNING.stopped(now=NOW), body(start_time=None)),
    "downloading": (RUNNING, body(status="in-progress", info="Downloading")),
    "installing": (INSTALLING, body(status="in-progress", info="Installing", **DONE)),
    "finished": (
        INSTALLING.installed(now=NOW),
        body(status="finished", slot_id=4, **DONE),
    ),
    "failed": (
        RUNNING.failed(NO_SLOT, Progress(), gained=False, budget=3, now=NOW),
        body(status="failed", info="Firmware fetching failed", error=NO_SLOT.sentence()),
    ),
    "cancelled": (
        RUNNING.cancelled(Progress(5, 9), now=NOW),
        body(
            status="cancelled",
            info="Firmware fetching cancelled",
            bytes_downloaded=5,
            bytes_total=9,
        ),
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_download(api: Api, name: str) -> None:
    job, expected = SAMPLES[name]
    client = await api.client()
    await api.jobs.add(job)
    href = f"{FETCH}/{job.key}"
    slot = {"slot": "/api/firmware/slots/4"} if name == "finished" else {}
    assert await (await client.get(href)).json() == {
        "body": expected,
        "key": job.key,
        "meta": {"href": href, "parent": FETCH} | slot,
    }
    assert await (await client.get(FETCH)).json() == {
        "items": [{"body": expected, "key": job.key, "meta": {"href": href} | slot}],
        "meta": {"href": FETCH, "parent": "/api/firmware"} | SIBLINGS,
    }


async def test_a_running_download_shows_its_progress_and_no_credentials(api: Api) -> None:
    secret = replace(RUNNING, url="https://user:secret@images.example.org/a.iso")
    client = await api.client()
    await api.jobs.add(secret)
    api.board.post(secret.key, Progress(65536, 734003200))
    shown = (await (await client.get(f"{FETCH}/{secret.key}")).json())["body"]
    assert (shown["bytes_downloaded"], shown["bytes_total"]) == (65536, 734003200)
    assert shown["url"] == "https://images.example.org/a.iso"


async def test_the_listings(api: Api) -> None:
    client = await api.client("viewer")
    links = {"fetch": FETCH} | SIBLINGS
    assert await (await client.get("/api/firmware")).json() == {
        "items": [{"key": key, "meta": {"href": links[key]}} for key in sorted(links)],
        "meta": {"href": "/api/firmware", "parent": "/api"} | links,
    }
    root = await (await client.get("/api")).json()
    assert root["meta"] == {"href": "/api", "parent": None}
    for item in root["items"]:
        assert (await client.head(item["meta"]["href"])).status in (200, 401)


async def test_the_history(api: Api) -> None:
    client = await api.client("viewer")
    await api.jobs.add(QUEUED)
    running = await api.jobs.move(QUEUED, RUNNING)
    assert running is not None
    again = OriginError(FailureCode.CUT_OFF, "the origin closed the connection")
    retrying = running.failed(again, Progress(5, 9), gained=True, budget=3, now=NOW + 60)
    assert await api.jobs.move(running, retrying) is not None
    href = f"{FETCH}/{QUEUED.key}"

    def step(cause: str, status: str, attempt: int, evidence: str | None) -> dict[str, object]:
        time = START if cause != "fail" else "2031-05-04T09:16:22+00:00"
        return {
            "time": time,
            "cause": cause,
            "status": status,
            "attempt": attempt,
            "evidence": evidence,
        }

    assert await (await client.get(f"{href}/history")).json() == {
        "body": {
            "history": [
                step("submit", "queued", 0, None),
                step("start", "in-progress", 1, None),
                step("fail", "in-progress", 2, again.sentence()),
            ]
        },
        "key": QUEUED.key,
        "meta": {"href": f"{href}/history", "parent": href},
    }
    assert (await client.get(f"{FETCH}/nope/history")).status == 404


async def test_the_response_to_a_submission(api: Api) -> None:
    client = await api.client()
    response = await client.post(FETCH, json={"url": URL, "checksum": {"sha256": "a" * 64}})
    document = await response.json()
    href = f"{FETCH}/{document['key']}"
    assert response.status == 202
    assert document == {
        "key": document["key"],
        "meta": {"href": href, "parent": "/api/firmware"} | SIBLINGS,
    }


async def test_the_responses_to_deletes(api: Api) -> None:
    client = await api.client()
    await api.jobs.add(QUEUED)
    href = f"{FETCH}/{QUEUED.key}"
    for _ in range(2):
        response = await client.delete(href)
        assert response.status == 200
        assert await response.json() == {"meta": {"href": href, "parent": FETCH}}
    assert (await client.get(href)).status == 404
