"""spsctl follows downloads: its session stays in use, and lists may be long."""

import asyncio

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from spsd.client.api import Api as ClientApi
from spsd.client.api import open_api, parse_events
from spsd.client.hosts import Host
from spsd.client.watch import follow_downloads, session_in_use
from spsd.jobs.job import Job, JobKey
from tests.web.conftest import IDLE_S, Api, api

__all__ = ["api"]


async def host(api: Api) -> Host:
    client = await api.client("viewer")
    url = str(client.make_url("/")).rstrip("/")
    token = client.session.cookie_jar.filter_cookies(client.make_url("/"))["session_id"].value
    return Host(url=url, token=token)


async def newest_use(api: Api) -> int:
    rows = await api.database.read("SELECT max(seen_at) AS newest FROM session")
    return int(rows[0]["newest"])


async def test_a_command_that_follows_downloads_uses_its_session(api: Api) -> None:
    async with open_api(await host(api)) as client, session_in_use(client, every_s=0.01):
        for _ in range(3):
            api.clock.seconds += IDLE_S - 1
            async with asyncio.timeout(20):
                while await newest_use(api) < api.clock.seconds:
                    await asyncio.sleep(0.01)  # another process would see no event either


@pytest.mark.parametrize("count", [0, 1, 2000])
async def test_a_list_of_any_length(api: Api, count: int) -> None:
    url = f"http://x/{'a' * 500}.iso"
    jobs = [Job.submitted(JobKey(str(number)), url, "a" * 64, now=1) for number in range(count)]
    await asyncio.gather(*map(api.jobs.add, jobs))
    async with open_api(await host(api)) as client:
        assert isinstance(client, ClientApi)
        async for downloads in follow_downloads(client):
            assert len(downloads) == count
            return


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_the_same_in_blocks_of_any_size(size: int) -> None:
    body = b": comment\n\nid: 1\nevent: a\ndata: x\ndata: y\n\ndata: z\r\n\r\nid: 3\ndata: cut"
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    for start in range(0, len(body), size):
        stream.feed_data(body[start : start + size])
    stream.feed_eof()
    events = [(event.kind, event.data, event.id) async for event in parse_events(stream)]
    assert events == [("a", "x\ny", "1"), ("message", "z", "1")]
