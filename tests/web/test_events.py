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
    # Not with CheckedClient, which reads to the end of the response.
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


async def test_a_snapshot_and_then_each_change(api: Api) -> None:
    client, job = await api.client("viewer"), await queued(api)
    async with stream(client) as events:
        plain = await (await client.get(FETCH)).json()
        first = await events.next()
        assert (first.event, first.data) == ("snapshot", plain)
        await queued(api, "b")
        assert (await events.next()).data["key"] == "b"
        job = await api.jobs.move(job, job.start(1, now=2))
        started = await events.next()
        listed = (await (await client.get(FETCH)).json())["items"][0]
        assert (started.event, started.data) == ("download", listed)
        api.board.post(job.key, Progress(7, 9))
        assert (await events.next()).data["body"]["bytes_downloaded"] == 7
        job = await api.jobs.move(job, job.cancelled(Progress(7, 9), now=3))
        await events.until(status="cancelled")
        await api.jobs.remove(job)
        removed = await events.next()
        assert (removed.event, removed.data) == ("removed", {"key": "a"})


async def test_one_download_until_its_removal(api: Api) -> None:
    client, job, other = await api.client("viewer"), await queued(api), await queued(api, "b")
    async with stream(client, f"{FETCH}/a") as events:
        plain = await (await client.get(f"{FETCH}/a")).json()
        first = await events.next()
        assert (first.event, first.data) == ("download", plain)
        await api.jobs.move(other, other.cancelled(Progress(), now=2))
        job = await api.jobs.move(job, job.cancelled(Progress(), now=3))
        second = await events.next()
        plain = await (await client.get(f"{FETCH}/a")).json()
        assert (second.event, second.data) == ("download", plain)
        await api.jobs.remove(job)
        assert (await events.next()).event == "removed"
        assert await events.next() is None


async def test_a_client_that_reconnects_receives_what_it_missed(api: Api) -> None:
    client, job, removed = await api.client("viewer"), await queued(api), await queued(api, "gone")
    await queued(api, "quiet")
    async with stream(client) as events:
        last = (await events.next()).id
    await api.jobs.move(job, job.start(1, now=2))
    await api.jobs.remove(removed)
    await queued(api, "new")
    async with stream(client, **after(last)) as events:
        missed = [await events.next() for _ in range(3)]
    assert [(event.event, event.data["key"]) for event in missed] == [
        ("removed", "gone"),
        ("download", "a"),
        ("download", "new"),
    ]
    async with stream(client, **after(missed[1].id)) as events:
        assert (await events.next()).data["key"] == "new"
    async with stream(client, **after(missed[2].id)) as events:
        await queued(api, "newest")
        assert (await events.next()).data["key"] == "newest"


@pytest.mark.parametrize("last", ["", "x", "0.0.0", "{life}.1.0", "{life}.0.x", "{life}.-1.0"])
async def test_an_unknown_id_begins_with_a_snapshot(api: Api, last: str) -> None:
    client = await api.client("viewer")
    last = last.format(life=api.feed.revisions.life)
    async with stream(client, **after(last)) as events:
        assert (await events.next()).event == "snapshot"


async def test_a_forgotten_removal_begins_with_a_snapshot(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        last = (await events.next()).id
    for number in range(REMOVALS_KNOWN + 1):
        api.feed.gone(JobKey(str(number)))
    async with stream(client, **after(last)) as events:
        assert (await events.next()).event == "snapshot"


async def test_a_quiet_stream_ends_with_its_session(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(event_keepalive_s=0.05)))
    client, other = await api.client("viewer"), await api.client("admin")
    async with stream(client) as events:
        assert (await events.next()).event == "snapshot"
        await other.delete("/api/authentication")
        assert [await events.line() for _ in range(4)] == [b": \n", b"\n"] * 2
        await client.delete("/api/authentication")
        assert await events.next() is None


async def test_closing_the_feed_ends_every_stream(api: Api) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    async with stream(client) as everything, stream(client, f"{FETCH}/a") as single:
        api.feed.close()
        for each in (everything, single):
            await each.next()
            assert await each.next() is None
    async with stream(client) as late:
        await late.next()
        assert await late.next() is None


async def test_a_disconnected_subscriber_is_removed(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        await events.next()
        assert api.feed.subscribers == 1
    async with asyncio.timeout(20):
        while api.feed.subscribers:
            api.feed.gone(JobKey("x"))  # a failed write shows the disconnection
            await asyncio.sleep(0.01)  # no event shows when TCP has noticed it


async def test_the_number_of_streams_is_limited(api: Api) -> None:
    await api.start(limits=replace(LIMITS, most_waiting=1))
    client = await api.client("viewer")
    async with stream(client) as events:
        await events.next()
        response = await client.get(FETCH, headers=ACCEPT)
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert (await response.json())["error"]["type"] == "TooManyReaders"
        assert (await client.get(FETCH)).status == 200


@pytest.mark.parametrize("path", [f"{FETCH}?status=queued", f"{FETCH}/a?wait=3"])
async def test_a_stream_has_no_query(api: Api, path: str) -> None:
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
async def test_the_accept_field_that_selects_a_stream(api: Api, accept: str, streams: bool) -> None:
    client = await api.client("viewer")
    async with client.session.get(client.make_url(FETCH), headers={"Accept": accept}) as response:
        assert response.content_type == ("text/event-stream" if streams else "application/json")


async def test_requests_that_get_no_stream(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.get(f"{FETCH}/none", headers=ACCEPT)).status == 404
    assert (await client.head(FETCH, headers=ACCEPT)).content_type == "application/json"
    anonymous = await api.client(None)
    assert (await anonymous.get(FETCH, headers=ACCEPT)).status == 401


def test_a_position_is_parsed_from_its_text() -> None:
    position = EventPosition("abc", 3, 17)
    assert parse_position(str(position), life="abc") == position
    for text in ("", "abc", "abc.3", "abc.3.17.1", "abc.3.\u0661", "abc..1", "abd.3.17"):
        assert parse_position(text, life="abc") is None
