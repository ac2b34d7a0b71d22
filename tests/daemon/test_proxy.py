"""A daemon behind a proxy, and secrets, which must not be shown."""

import asyncio
import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from spsd.testing.origin import CutAfter, Origin, Redirect, Status
from testbed import needs
from testbed.driver import Daemon, in_loop, running
from tests.squid import NAME, PASSWORD, running_squid

CONTENT = b"the image" * 30_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


async def everything_shown(daemon: Daemon, keys: list[str]) -> str:
    """Every response about these jobs, and their history in the database."""
    paths = [f"/api/firmware/fetch/{key}{end}" for key in keys for end in ("", "/history")]
    answers = [await daemon.call("GET", path) for path in [*paths, "/api/firmware/fetch"]]

    def stored() -> list[tuple[str | None, ...]]:
        with closing(sqlite3.connect(daemon.state / "spsd.sqlite")) as database:
            history = database.execute("SELECT evidence FROM job_history").fetchall()
            return history + database.execute("SELECT error, evidence FROM job").fetchall()

    return json.dumps([answers, await asyncio.to_thread(stored)], ensure_ascii=False)


@needs.program("squid")
async def test_the_environment_names_the_proxy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_squid() as squid:
        environ = {"http_proxy": squid.guarded(), "NO_PROXY": "other.example"}
        async with (
            Origin({"/a": CONTENT}, [CutAfter(100_000)]) as origin,
            # Origins on loopback are not allowed, but the proxy is; it resolves the name.
            running(
                tmp_path, fetch={"allow": []}, slots={"accept": "any"}, environ=environ
            ) as daemon,
        ):
            key = await daemon.submit(f"http://{NAME}:{origin.port}/a", DIGEST)
            body = await daemon.over(key)
            assert body["status"] == "finished", body
            assert [request.range for request in origin.requests] == [None, "bytes=100000-"]
            refused = await daemon.submit(f"http://127.0.0.1:{origin.port}/a", "b" * 64)
            assert (await daemon.over(refused))["error"].startswith("policy: ")
            # The configuration file takes precedence over the environment.
            await daemon.stop()
            daemon.fetch["proxy"] = squid.guarded(password="a-wrong-one")
            daemon.configure()
            await daemon.start()
            denied = await daemon.submit(f"http://{NAME}:{origin.port}/a", "c" * 64)
            assert (await daemon.over(denied))["error"].startswith("proxy_auth: ")
            assert len(origin.requests) == 2
            shown = await everything_shown(daemon, [key, refused, denied])
    assert f"proxy 127.0.0.1:{squid.guarded_port}" in shown
    shown += capfd.readouterr().err
    for secret in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "a-wrong-one"):
        assert secret not in shown


async def test_the_origins_secrets_are_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Credentials are not shown at all; a signature only in the URL of its own job."""
    async with (
        Origin({"/a": CONTENT}) as origin,
        in_loop(tmp_path, slots={"accept": "any"}) as daemon,
    ):
        plain = origin.url("/a")
        secret = plain.replace("//", "//quinn:pass%77ord@") + "?sig=signed"
        signed = plain + "?sig=signed2"
        keys = []
        for script in (
            [CutAfter(1000)],
            [Redirect(secret)],
            [Redirect(secret)] * 11,
            [Status(404)],
            [Redirect("http://quinn:password@2130706433/?sig=signed")],
        ):
            origin.script(*script)
            keys.append(await daemon.submit(secret, DIGEST if len(keys) < 2 else "b" * 64))
            await daemon.over(keys[-1])
        bodies = [await daemon.job(key) for key in keys]
        status = [body["status"] for body in bodies]
        assert status == ["finished", "finished", "failed", "failed", "failed"]
        assert {body["url"] for body in bodies} == {plain + "?sig=signed"}
        assert origin.requests[0].headers["authorization"] == "Basic cXVpbm46cGFzc3dvcmQ="
        origin.script(Redirect(signed), Status(404))
        keys.append(await daemon.submit(plain, "d" * 64))
        await daemon.over(keys[-1])
        bad = await daemon.call(
            "POST",
            "/api/firmware/fetch",
            json={"url": "http://quinn:pass/word@h:x/", "checksum": {"sha256": DIGEST}},
        )
        assert bad[0] == 400
        shown = await everything_shown(daemon, keys) + json.dumps(bad)
    log = capfd.readouterr().err
    assert not re.search(r"pass(%77|w|/w)ord|quinn", shown + log)
    assert "signed2" not in shown + log
    assert "signed" not in log
    assert "signed" not in shown.replace(json.dumps(plain + "?sig=signed"), "")
