"""The curl session of the API's own page, word for word but for host and values."""

import asyncio
import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path

from spsd.testing.origin import Hang, Origin
from testbed import needs
from testbed.driver import PASSWORD, USER, running
from testbed.iso import build_iso


@needs.program("curl")
async def test_the_session_of_the_page(tmp_path: Path) -> None:
    iso = tmp_path / "sps.iso"
    build_iso(iso)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    async with Origin({"/sps.iso": iso}) as origin, running(tmp_path, tls=False) as plain:
        await plain.stop()
        plain.tls = True
        plain.configure()
        await plain.start()
        host = f"localhost:{plain.url.rpartition(':')[2]}"

        async def curl(command: str, stdin: str = "") -> dict:
            done = await asyncio.to_thread(
                subprocess.run,
                ["bash", "-c", command],
                input=stdin.encode(),
                capture_output=True,
                check=True,
                env=os.environ
                | {
                    "COOKIE_PATH": str(tmp_path / "cookies"),
                    "NO_PROXY": "*",
                    "CURL_CA_BUNDLE": str(plain.state / "tls" / "certificate.pem"),
                },
            )
            return json.loads(done.stdout)

        log_in = f'curl -s --basic --user "{USER}:{PASSWORD}" --cookie-jar "${{COOKIE_PATH}}" '
        assert "meta" in await curl(log_in + f"https://{host}/api/authentication")
        post = (
            f'curl -s -X POST -b "${{COOKIE_PATH}}" --data "@-" https://{host}/api/firmware/fetch'
        )
        body = json.dumps({"url": origin.url("/sps.iso"), "checksum": {"sha256": digest}}, indent=4)
        accepted = await curl(post, body)
        key = accepted["key"]
        assert accepted == {
            "key": key,
            "meta": {
                "href": f"/api/firmware/fetch/{key}",
                "parent": "/api/firmware",
                "slots": "/api/firmware/slots",
                "test": "/api/firmware/test",
                "upgrade": "/api/firmware/upgrade",
            },
        }
        got = await plain_over(curl, host, key)
        assert got == {
            "body": {
                "bytes_downloaded": iso.stat().st_size,
                "bytes_total": iso.stat().st_size,
                "error": None,
                "info": None,
                "slot_id": 1,
                "start_time": got["body"]["start_time"],
                "status": "finished",
                "url": origin.url("/sps.iso"),
            },
            "key": key,
            "meta": {
                "href": f"/api/firmware/fetch/{key}",
                "parent": "/api/firmware/fetch",
                "slot": "/api/firmware/slots/1",
            },
        }
        listed = await curl(
            f'curl -s -X GET -b "${{COOKIE_PATH}}" https://{host}/api/firmware/fetch'
        )
        assert [item["key"] for item in listed["items"]] == [key]
        assert listed["items"][0]["body"] == got["body"]
        assert listed["items"][0]["meta"] == {
            "href": f"/api/firmware/fetch/{key}",
            "slot": "/api/firmware/slots/1",
        }

        origin.script(Hang(0))
        second = await curl(post, body.replace(digest, "b" * 64))
        one = f"https://{host}/api/firmware/fetch/{second['key']}"
        delete = f'curl -s -X DELETE -b "${{COOKIE_PATH}}" {one}'
        assert "error" not in await curl(delete)
        show = f'curl -s -X GET -b "${{COOKIE_PATH}}" {one}'
        assert (await curl(show))["body"]["status"] == "cancelled"
        assert "error" not in await curl(delete)
        assert (await curl(show))["error"]["type"] == "ResourceNotFound"


async def plain_over(curl, host: str, key: str) -> dict:
    while True:
        got = await curl(
            f'curl -s -X GET -b "${{COOKIE_PATH}}" https://{host}/api/firmware/fetch/{key}'
        )
        if got["body"]["status"] not in ("queued", "in-progress"):
            return got


async def test_a_session_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await daemon.kill()
        await daemon.start()
        assert (await daemon.call("GET", "/api/firmware/fetch"))[0] == 200


async def test_a_database_from_the_future_is_refused_and_untouched(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await daemon.stop()
        database = daemon.state / "spsd.sqlite"
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 9999")
        before = database.read_bytes()
        assert await daemon.run() == 1
        assert database.read_bytes() == before


async def test_a_second_daemon_is_kept_out(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        first = daemon.process
        assert await daemon.run() == 1
        daemon.process = first
        assert (await daemon.call("GET", "/api/firmware/fetch"))[0] == 200
