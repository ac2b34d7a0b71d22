"""``?wait&since``, ETag and If-None-Match on downloads."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, TCPConnector
from aiohttp.test_utils import TestClient

from spsd.jobs.job import Job, JobKey
from spsd.limits import Limits
from spsd.transfer.ports import Progress
from spsd.web.limits import FollowerShares, WebLimits
from spsd.web.links import FETCH
from tests.web.conftest import IDLE_S, LIMITS, Api


async def queued(api: Api, key: str = "a") -> Job:
    job = Job.submitted(JobKey(key), f"http://x/{key}", "a" * 64, now=1)
    await api.jobs.add(job)
    return job


def revision(response: ClientResponse) -> str:
    return response.headers["ETag"].removeprefix('W/"').removesuffix('"')


async def waiting(api: Api, request: Coroutine[Any, Any, ClientResponse], count: int = 1):
    """The task of ``request``, when ``count`` handlers wait."""
    task = asyncio.create_task(request)
    async with asyncio.timeout(20):
        while api.feed.revisions.waiters < count:
            await asyncio.sleep(0.001)
    return task


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
async def test_a_change_ends_the_wait(api: Api, path: str) -> None:
    client, job = await api.client("viewer"), await queued(api)
    earlier = revision(await client.get(path))
    task = await waiting(api, client.get(f"{path}?wait=60&since={earlier}"))
    await api.jobs.move(job, job.start(1, now=2))
    response = await task
    assert '"in-progress"' in await response.text()
    assert revision(response) != earlier


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
async def test_progress_ends_the_wait(api: Api, path: str) -> None:
    client, job = await api.client("viewer"), await queued(api)
    job = await api.jobs.move(job, job.start(1, now=2))
    task = await waiting(api, client.get(f"{path}?wait=60"))
    api.board.post(job.key, Progress(7, 9))
    assert '"bytes_downloaded":7' in await (await task).text()


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
async def test_an_earlier_revision_is_answered_at_once(api: Api, path: str) -> None:
    client, job = await api.client("viewer"), await queued(api)
    earlier = revision(await client.get(path))
    await api.jobs.move(job, job.start(1, now=2))
    for since in (earlier, "of-another-daemon", "0"):
        response = await client.get(f"{path}?wait=60&since={since}")
        assert response.status == 200
        assert revision(response) != earlier


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
async def test_without_a_change_the_response_is_sent_after_the_wait(api: Api, path: str) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    first = await client.get(path)
    since = f"since={revision(first)}"
    for query in ("wait=1", f"wait=1&{since}", "wait=0", since):
        response = await client.get(f"{path}?{query}")
        assert await response.text() == await first.text()
        assert revision(response) == revision(first)


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
async def test_if_none_match_with_the_present_revision_gives_304(api: Api, path: str) -> None:
    client, job = await api.client("viewer"), await queued(api)
    validator = {"If-None-Match": (await client.get(path)).headers["ETag"]}
    for query in ("", "?wait=0", "?wait=1"):
        response = await client.get(path + query, headers=validator)
        assert (response.status, response.headers["ETag"]) == (304, validator["If-None-Match"])
    await api.jobs.move(job, job.start(1, now=2))
    response = await client.get(f"{path}?wait=60", headers=validator)
    assert response.status == 200


async def test_the_revision_of_a_download_ignores_other_downloads(api: Api) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    earlier = revision(await client.get(f"{FETCH}/a"))
    other = await queued(api, "b")
    await api.jobs.move(other, other.cancelled(Progress(), now=2))
    response = await client.get(f"{FETCH}/a", headers={"If-None-Match": f'W/"{earlier}"'})
    assert response.status == 304


async def test_a_record_that_is_removed_during_the_wait_is_not_found(api: Api) -> None:
    client, job = await api.client("viewer"), await queued(api)
    task = await waiting(api, client.get(f"{FETCH}/a?wait=60"))
    await api.jobs.remove(job)
    assert (await task).status == 404


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}])
async def test_an_unknown_download_is_not_found_without_a_wait(
    api: Api, headers: dict[str, str]
) -> None:
    client = await api.client("viewer")
    response = await client.get(f"{FETCH}/none?wait=60", headers=headers)
    assert response.status == 404


@pytest.mark.parametrize("path", [FETCH, f"{FETCH}/a"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("wait=61", "wait"),
        ("wait=-1", "wait"),
        ("wait=1.5", "wait"),
        ("wait=", "wait"),
        ("wait=1&wait=1", "wait"),
        ("wait=\u0661", "wait"),
        ("since=", "since"),
        ("since=a&since=b&wait=1", "since"),
    ],
)
async def test_invalid_parameters_are_refused(api: Api, path: str, query: str, field: str) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    response = await client.get(f"{path}?{query}")
    assert response.status == 400
    assert (await response.json())["error"]["details"]["field"] == field


async def test_hundreds_of_waiting_clients_cause_no_database_reads(api: Api, tally: Any) -> None:
    await api.start(limits=sharing(account=200, session=200))
    client, job, other = await api.client("viewer"), await queued(api), await queued(api, "b")
    url, many = client.make_url(f"{FETCH}/a?wait=60"), TCPConnector(limit=0)
    jar = client.session.cookie_jar
    async with ClientSession(connector=many, cookie_jar=jar) as session:
        tasks = [await waiting(api, session.get(url), n + 1) for n in range(200)]
        reads = api.database.reads
        other = await api.jobs.move(other, other.start(1, now=2))
        before = api.feed.revisions.current(JobKey("b"))
        api.board.post(other.key, Progress(5, 9))
        await api.feed.revisions.wait(before, JobKey("b"))
        assert api.database.reads == reads, "a transition of another download caused a read"
        await api.jobs.move(job, job.cancelled(Progress(), now=2))
        assert {(await task).status for task in tasks} == {200}
    tally("clients that waited without database reads", len(tasks))


async def test_at_the_limit_of_waiting_clients_the_response_is_sent_at_once(api: Api) -> None:
    await api.start(limits=sharing(session=2))
    client, job = await api.client("viewer"), await queued(api)
    tasks = [await waiting(api, client.get(f"{FETCH}?wait=60"), n + 1) for n in range(2)]
    assert (await client.get(f"{FETCH}?wait=60")).status == 200
    await api.jobs.remove(job)
    await asyncio.gather(*tasks)


async def test_waits_of_one_session_leave_those_of_others_alone(api: Api) -> None:
    await api.start(limits=sharing(session=2))
    client, other, job = await api.client("viewer"), await api.client(), await queued(api)
    tasks = [await waiting(api, client.get(f"{FETCH}?wait=60"), n + 1) for n in range(2)]
    tasks.append(await waiting(api, other.get(f"{FETCH}?wait=60"), 3))
    await api.jobs.remove(job)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("mark", [{}, {"Spsd-Background": "1"}])
async def test_waits_and_marked_requests_are_no_use_of_a_session(api: Api, mark) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    begun, query = api.clock.seconds, "" if mark else "?wait=0"
    for elapsed in range(0, IDLE_S, IDLE_S // 10):
        api.clock.seconds = begun + elapsed
        response = await client.get(FETCH + query, headers=mark)
        assert response.status == 200
        assert "session_id" not in response.cookies
    api.clock.seconds = begun + IDLE_S
    assert (await client.get(FETCH + query, headers=mark)).status == 401


async def test_a_wait_ends_with_its_session(api: Api) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    api.clock.seconds += IDLE_S - 1
    async with asyncio.timeout(20):
        assert (await client.get(f"{FETCH}?wait=60")).status == 200


def sharing(**shares: int) -> Limits:
    return replace(LIMITS, web=WebLimits(followers=FollowerShares(**shares)))


async def test_closing_the_feed_ends_each_wait(api: Api) -> None:
    client: TestClient = await api.client("viewer")
    task = await waiting(api, client.get(f"{FETCH}?wait=60"))
    api.feed.close()
    assert (await task).status == 200
