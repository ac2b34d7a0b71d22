"""The query of the list of downloads: selection by status, and pages."""

import re
from dataclasses import replace
from itertools import cycle, islice

import pytest
from aiohttp.test_utils import TestClient

from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import ACTIVE, JobState
from spsd.web.api.download_json import status_of
from spsd.web.links import FETCH
from tests.web.conftest import Api

STATES = list(islice(cycle(JobState), 2 * len(JobState) + 3))
KEYS = [f"job-{number:02}" for number in range(len(STATES))]


async def filled(api: Api) -> TestClient:
    """Add several jobs in each state; returns a client."""
    client = await api.client("viewer")
    for number, (key, state) in enumerate(zip(KEYS, STATES, strict=True)):
        job = Job.submitted(JobKey(key), f"http://x/{key}", f"{number:064x}", now=1)
        slot = number + 1 if state in (*ACTIVE, JobState.FINISHED) else None
        error = "dns: nowhere" if state is JobState.FAILED else None
        await api.jobs.add(replace(job, state=state, slot=slot, error=error))
    return client


async def keys(client: TestClient, query: str) -> list[str]:
    response = await client.get(f"{FETCH}?{query}")
    assert response.status == 200, await response.text()
    return [item["key"] for item in (await response.json())["items"]]


@pytest.mark.parametrize(
    "statuses", [["queued"], ["in-progress"], ["finished", "failed"], ["cancelled", "cancelled"]]
)
async def test_selection_by_status(api: Api, statuses: list[str]) -> None:
    client = await filled(api)
    selected = await keys(client, "&".join(f"status={status}" for status in statuses))
    expected = [
        key for key, state in zip(KEYS, STATES, strict=True) if status_of(state) in statuses
    ]
    assert selected == expected


@pytest.mark.parametrize("limit", [1, 2, 5, len(KEYS), 100])
@pytest.mark.parametrize("status", ["", "&status=in-progress&status=queued"])
async def test_the_pages_together_are_the_whole_list(api: Api, limit: int, status: str) -> None:
    client = await filled(api)
    whole = await keys(client, status.removeprefix("&"))
    path, collected = f"{FETCH}?limit={limit}{status}", []
    while path:
        response = await client.get(path)
        items = [item["key"] for item in (await response.json())["items"]]
        assert len(items) <= limit
        collected += items
        link = re.fullmatch('<(.*)>; rel="next"', response.headers.get("Link", ""))
        path = link and link[1]
    assert collected == whole


async def test_the_plain_list_has_no_pages(api: Api) -> None:
    client = await filled(api)
    response = await client.get(FETCH)
    assert [item["key"] for item in (await response.json())["items"]] == KEYS
    assert "Link" not in response.headers


async def test_after_the_last_job_the_list_is_empty(api: Api) -> None:
    client = await filled(api)
    assert await keys(client, f"after={KEYS[-1]}") == []
    assert await keys(client, f"after={KEYS[3]}&limit=2") == KEYS[4:6]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=running", "status"),
        ("status=", "status"),
        ("status=queued&status=QUEUED", "status"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=10001", "limit"),
        ("limit=5.0", "limit"),
        ("limit=٣", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("after=", "after"),
        (f"after={KEYS[0]}&after={KEYS[1]}", "after"),
    ],
)
async def test_an_invalid_value_is_refused(api: Api, query: str, field: str) -> None:
    client = await filled(api)
    response = await client.get(f"{FETCH}?{query}")
    assert response.status == 400
    error = (await response.json())["error"]
    assert (error["type"], error["details"]) == ("InvalidQuery", {"field": field})


async def test_a_page_after_an_unknown_record_is_not_found(api: Api) -> None:
    client = await filled(api)
    response = await client.get(f"{FETCH}?after=unknown")
    assert response.status == 404
    error = (await response.json())["error"]
    assert (error["type"], error["details"]["field"]) == ("ResourceNotFound", "after")


async def test_other_parameters_are_ignored(api: Api) -> None:
    client = await filled(api)
    assert await keys(client, "sort=url&page=2") == KEYS
