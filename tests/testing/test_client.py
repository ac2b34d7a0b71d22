"""The harness's client (spsd.testing.client) against the real daemon."""

import asyncio
from pathlib import Path

from spsd.testing.client import Client
from testbed.driver import FETCH, PASSWORD, USER, running


async def test_log_in_and_responses(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        client = Client(daemon.url)

        def session() -> None:
            assert client.call("GET", FETCH).status == 401
            assert client.log_in(USER, "wrong").status == 401
            assert client.cookie is None
            assert client.log_in(USER, PASSWORD).status == 200
            answer = client.call("GET", FETCH)
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("application/json")
            assert answer.document["items"] == []
            refused = client.call("POST", FETCH, json_body={"url": "http://a.test/"})
            assert refused.status == 400
            assert "checksum" in refused.content.decode()

        await asyncio.to_thread(session)
