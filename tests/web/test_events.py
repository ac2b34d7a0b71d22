"""Downloads as server-sent events, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient

from spsd.jobs.feed import REMOVALS_KNOWN
from spsd.jobs.job import Job, JobKey
from spsd.transfer.ports import Progress
from spsd.web.api.events import EventPosition, parse_position
from spsd.web.limits import WebLimits
from spsd.web.links import FETCH
from tests.events import ACCEPT, Stream
from tests.web.conftest import LIMITS, Api


@asynccontextmanager
async def stream(client: TestClient, path: str = FETCH, **headers: str) -> AsyncIterator[Stream]:
    # Not by the checked client, which reads to the end.
    request = client.session.get(client.make_url(path), headers=ACCEPT | headers)
    async with request as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Language"] == "en"
        assert "GET" in response.headers["Allow"]
        yield Stream(response)


def after(event_id: str) -> dict[str, str]:
    return {"Last-Event-ID": event_id}


async def queued(api: Api, key: str = "a") -> Job:
    job = Job.submitted(JobKey(key), f"http://x/{key}", "a" * 64, now=1)
    await api.jobs.add(job)
    return job


async def test_the_list_and_then_what_changes(api: Api) -> None:
    client, job = await api.client("viewer"), await queued(api)
    async with stream(client) as told:
        plain = await (await client.get(FETCH)).json()
        first = await told.next()
        assert (first.event, first.data) == ("snapshot", plain)
        await queued(api, "b")
        assert (await told.next()).data["key"] == "b"
        job = await api.jobs.move(job, job.start(1, now=2))
        started = await told.next()
        listed = (await (await client.get(FETCH)).json())["items"][0]
        assert (started.event, started.data) == ("download", listed)
        api.board.post(job.key, Progress(7, 9))
        assert (await told.next()).data["body"]["bytes_downloaded"] == 7
        job = await api.jobs.move(job, job.cancelled(Progress(7, 9), now=3))
        await told.until(status="cancelled")
        await api.jobs.remove(job)
        gone = await told.next()
        assert (gone.event, gone.data) == ("removed", {"key": "a"})


async def test_one_download_to_its_removal(api: Api) -> None:
    client, job, other = await api.client("viewer"), await queued(api), await queued(api, "b")
    async with stream(client, f"{FETCH}/a") as told:
        plain = await (await client.get(f"{FETCH}/a")).json()
        first = await told.next()
        assert (first.event, first.data) == ("download", plain)
        await api.jobs.move(other, other.cancelled(Progress(), now=2))
        job = await api.jobs.move(job, job.cancelled(Progress(), now=3))
        second = await told.next()
        plain = await (await client.get(f"{FETCH}/a")).json()
        assert (second.event, second.data) == ("download", plain)
        await api.jobs.remove(job)
        assert (await told.next()).event == "removed"
        assert await told.next() is None


async def test_who_comes_back_is_told_what_was_missed(api: Api) -> None:
    client, job, gone = await api.client("viewer"), await queued(api), await queued(api, "gone")
    await queued(api, "quiet")
    async with stream(client) as told:
        last = (await told.next()).id
    await api.jobs.move(job, job.start(1, now=2))
    await api.jobs.remove(gone)
    await queued(api, "new")
    async with stream(client, **after(last)) as told:
        missed = [await told.next() for _ in range(3)]
    assert [(one.event, one.data["key"]) for one in missed] == [
        ("removed", "gone"),
        ("download", "a"),
        ("download", "new"),
    ]
    async with stream(client, **after(missed[1].id)) as told:
        assert (await told.next()).data["key"] == "new"
    async with stream(client, **after(missed[2].id)) as told:
        await queued(api, "newest")
        assert (await told.next()).data["key"] == "newest"


@pytest.mark.parametrize("last", ["", "x", "0.0.0", "{life}.1.0", "{life}.0.x", "{life}.-1.0"])
async def test_an_id_that_is_not_known_begins_anew(api: Api, last: str) -> None:
    client = await api.client("viewer")
    last = last.format(life=api.feed.revisions.life)
    async with stream(client, **after(last)) as told:
        assert (await told.next()).event == "snapshot"


async def test_too_many_removals_to_remember_begin_anew(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as told:
        last = (await told.next()).id
    for number in range(REMOVALS_KNOWN + 1):
        api.feed.gone(JobKey(str(number)))
    async with stream(client, **after(last)) as told:
        assert (await told.next()).event == "snapshot"


async def test_a_quiet_stream_goes_on_as_long_as_its_session(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(events_keep_s=0.05)))
    client, other = await api.client("viewer"), await api.client("admin")
    async with stream(client) as told:
        assert (await told.next()).event == "snapshot"
        await other.delete("/api/authentication")
        assert [await told.line() for _ in range(4)] == [b": \n", b"\n"] * 2
        await client.delete("/api/authentication")
        assert await told.next() is None


async def test_a_stop_ends_every_stream(api: Api) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    async with stream(client) as everything, stream(client, f"{FETCH}/a") as one:
        api.feed.close()
        for told in (everything, one):
            await told.next()
            assert await told.next() is None
    async with stream(client) as late:
        await late.next()
        assert await late.next() is None


async def test_a_reader_that_goes_is_forgotten(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as told:
        await told.next()
        assert api.feed.subscribers == 1
    async with asyncio.timeout(20):
        while api.feed.subscribers:
            api.feed.gone(JobKey("x"))  # it is noticed by what cannot be written
            await asyncio.sleep(0.01)  # TCP takes a while to notice, and tells nobody


async def test_there_are_only_so_many_readers(api: Api) -> None:
    await api.start(limits=replace(LIMITS, most_waiting=1))
    client = await api.client("viewer")
    async with stream(client) as told:
        await told.next()
        response = await client.get(FETCH, headers=ACCEPT)
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert (await response.json())["error"]["type"] == "TooManyReaders"
        assert (await client.get(FETCH)).status == 200


@pytest.mark.parametrize("path", [f"{FETCH}?status=queued", f"{FETCH}/a?wait=3"])
async def test_a_stream_takes_no_query(api: Api, path: str) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    response = await client.get(path, headers=ACCEPT)
    assert response.status == 400
    assert (await response.json())["error"]["type"] == "InvalidQuery"


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream;q=0.9, */*", True),
        ("application/json, text/event-stream", True),
        ("*/*", False),
        ("text/*", False),
        ("application/octet-stream", False),
    ],
)
async def test_who_gets_a_stream(api: Api, accept: str, streams: bool) -> None:
    client = await api.client("viewer")
    async with client.session.get(client.make_url(FETCH), headers={"Accept": accept}) as response:
        assert response.content_type == ("text/event-stream" if streams else "application/json")


async def test_of_no_download_there_is_no_stream(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.get(f"{FETCH}/none", headers=ACCEPT)).status == 404
    assert (await client.head(FETCH, headers=ACCEPT)).content_type == "application/json"
    stranger = await api.client(None)
    assert (await stranger.get(FETCH, headers=ACCEPT)).status == 401


def test_a_place_is_read_as_it_is_written() -> None:
    place = EventPosition("abc", 3, 17)
    assert parse_position(str(place), life="abc") == place
    for text in ("", "abc", "abc.3", "abc.3.17.1", "abc.3.\u0661", "abc..1", "abd.3.17"):
        assert parse_position(text, life="abc") is None
