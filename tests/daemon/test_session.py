"""The curl session of the API's documentation; only host and values differ."""

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
async def test_the_documented_session_works(tmp_path: Path) -> None:
    iso = tmp_path / "sps.iso"
    build_iso(iso)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    async with Origin({"/sps.iso": iso}) as origin, running(tmp_path, tls=False) as daemon:
        await daemon.stop()
        daemon.tls = True
        daemon.configure()
        await daemon.start()
        host = f"localhost:{daemon.url.rpartition(':')[2]}"

        async def curl(command: str, stdin: str = "") -> dict:
            completed = await asyncio.to_thread(
                subprocess.run,
                ["bash", "-c", command],
                input=stdin.encode(),
                capture_output=True,
                check=True,
                env=os.environ
                | {
                    "COOKIE_PATH": str(tmp_path / "cookies"),
                    "NO_PROXY": "*",
                    "CURL_CA_BUNDLE": str(daemon.state / "tls" / "certificate.pem"),
                },
            )
            return json.loads(completed.stdout)

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
        document = await wait_for_end_of_job(curl, host, key)
        assert document == {
            "body": {
                "bytes_downloaded": iso.stat().st_size,
                "bytes_total": iso.stat().st_size,
                "error": None,
                "info": None,
                "slot_id": 1,
                "start_time": document["body"]["start_time"],
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
        assert listed["items"][0]["body"] == document["body"]
        assert listed["items"][0]["meta"] == {
            "href": f"/api/firmware/fetch/{key}",
            "slot": "/api/firmware/slots/1",
        }

        origin.script(Hang(0))
        second = await curl(post, body.replace(digest, "b" * 64))
        job = f"https://{host}/api/firmware/fetch/{second['key']}"
        delete = f'curl -s -X DELETE -b "${{COOKIE_PATH}}" {job}'
        assert "error" not in await curl(delete)
        show = f'curl -s -X GET -b "${{COOKIE_PATH}}" {job}'
        assert (await curl(show))["body"]["status"] == "cancelled"
        assert "error" not in await curl(delete)
        assert (await curl(show))["error"]["type"] == "ResourceNotFound"


async def wait_for_end_of_job(curl, host: str, key: str) -> dict:
    while True:
        document = await curl(
            f'curl -s -X GET -b "${{COOKIE_PATH}}" https://{host}/api/firmware/fetch/{key}'
        )
        if document["body"]["status"] not in ("queued", "in-progress"):
            return document


async def test_a_session_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await daemon.kill()
        await daemon.start()
        assert (await daemon.call("GET", "/api/firmware/fetch"))[0] == 200


async def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        await daemon.stop()
        database = daemon.state / "spsd.sqlite"
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 9999")
        before = database.read_bytes()
        assert await daemon.run() == 1
        assert database.read_bytes() == before


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        first = daemon.process
        assert await daemon.run() == 1
        daemon.process = first
        assert (await daemon.call("GET", "/api/firmware/fetch"))[0] == 200
