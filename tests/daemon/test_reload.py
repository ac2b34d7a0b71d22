"""SIGHUP: [fetch] is read again while jobs run, as a whole or not at all."""

import asyncio
import hashlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spsd.testing.origin import Hang, Origin, Status
from testbed.driver import Daemon, running

IMAGE = os.urandom(3_000_000)
DIGEST = hashlib.sha256(IMAGE).hexdigest()
ANY = {"accept": "any"}


class Manager:
    """The service manager: it receives the notifications of the daemon."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    async def message(self, beginning: str) -> str:
        """Wait for the next message with this beginning."""
        loop = asyncio.get_running_loop()
        while True:
            text = (await loop.sock_recv(self.socket, 4096)).decode()
            if text.startswith(beginning):
                return text

    async def reload(self, daemon: Daemon, text: str | None = None, **fetch: object) -> str:
        """Change the configuration and reload it; gives the message at the end."""
        daemon.fetch |= fetch
        daemon.configure()
        if text is not None:
            daemon.config.write_text(text)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        [_, at] = (await self.message("RELOADING=1")).split("\n")
        assert at.startswith("MONOTONIC_USEC=")
        return await self.message("READY=1")


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


async def test_a_running_download_gets_a_higher_rate_limit(
    manager: Manager, tmp_path: Path
) -> None:
    # With several connections one attempt would send several requests.
    slow = {"rate_limit_bytes_per_s": 20_000, "connections": 1}
    async with (
        Origin({"/a": IMAGE}) as origin,
        running(tmp_path, fetch=slow, slots=ANY, environ=manager.environ) as daemon,
    ):
        await manager.message("READY=1")
        key = await daemon.submit(origin.url("/a"), DIGEST)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        message = await manager.reload(daemon, rate_limit_bytes_per_s=0)
        assert "STATUS=configuration read again" in message
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        assert len(origin.requests) == 1, "the same attempt continued"


async def test_a_running_download_gets_a_lower_rate_limit(manager: Manager, tmp_path: Path) -> None:
    async with (
        Origin({"/a": IMAGE}) as origin,
        running(
            tmp_path,
            fetch={"rate_limit_bytes_per_s": 600_000},
            slots=ANY,
            environ=manager.environ,
        ) as daemon,
    ):
        await manager.message("READY=1")
        key = await daemon.submit(origin.url("/a"), DIGEST)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        await manager.reload(daemon, rate_limit_bytes_per_s=1)
        before = (await daemon.job(key))["bytes_downloaded"]
        # That no more bytes arrive can only be observed over some time.
        await asyncio.sleep(1)
        assert (await daemon.job(key))["bytes_downloaded"] - before <= 1024 * 1024
        await manager.reload(daemon, rate_limit_bytes_per_s=0)
        assert (await daemon.over(key))["status"] == "finished"


BAD_FILES = {
    "[fetch]\nrate_limit_bytes_per_s = 0\nconcurent = 2\n": "fetch.concurent: there is no such key",
    "[fetch]\nrate_limit_bytes_per_s = -1\n": "fetch.rate_limit_bytes_per_s: Expected",
    '[fetch]\nproxy = "ftp://u:secret@proxy"\n': "fetch.proxy: the scheme of the proxy is ftp",
    "[fetch\n": "is not valid TOML",
}


async def test_a_bad_file_changes_nothing(
    manager: Manager, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        Origin({"/a": IMAGE}) as origin,
        running(
            tmp_path,
            fetch={"rate_limit_bytes_per_s": 2_500_000},
            slots=ANY,
            environ=manager.environ,
        ) as daemon,
    ):
        await manager.message("READY=1")
        key = await daemon.submit(origin.url("/a"), DIGEST)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        before = await daemon.call("GET", "/api/info")
        for text in BAD_FILES:
            assert "could not be read again" in await manager.reload(daemon, text)
        after = await daemon.call("GET", "/api/info")
        assert before[1]["body"]["config_hash"] == after[1]["body"]["config_hash"]
        assert (await daemon.over(key))["status"] == "finished"
        assert len(origin.requests) == 1
        # Origins on loopback are still allowed, as before.
        await daemon.over(await daemon.submit(origin.url("/a"), "b" * 64))
        assert len(origin.requests) == 2
    log = capfd.readouterr().err.splitlines()
    lines = [line for line in log if "the configuration was not changed" in line]
    assert len(lines) == len(BAD_FILES)
    for line, problem in zip(lines, BAD_FILES.values(), strict=True):
        assert f"{daemon.config}: {problem}" in line
        assert "secret" not in line


async def test_new_attempts_use_the_new_settings(
    manager: Manager, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        Origin({"/a": b"a"}, always=Status(500)) as origin,
        running(
            tmp_path,
            fetch={"allow": [], "attempts": 1000, "backoff_limit_s": 0.05},
            environ=manager.environ,
        ) as daemon,
    ):
        await manager.message("READY=1")
        body = await daemon.over(await daemon.submit(origin.url("/a"), "a" * 64))
        assert body["error"].startswith("policy: ")
        before = await daemon.call("GET", "/api/info")
        await manager.reload(daemon, allow=["127.0.0.0/8"], proxy="http://u:secret@127.0.0.1:1")
        key = await daemon.submit(origin.url("/a"), "a" * 64)
        step = f"/api/firmware/fetch/{key}/history"

        async def evidence(code: str) -> str:
            while True:
                _, document = await daemon.call("GET", step)
                for entry in document["body"]["history"]:
                    if (entry["evidence"] or "").startswith(code):
                        return entry["evidence"]

        assert "127.0.0.1:1" in await evidence("proxy: ")
        # The job is still running; its next attempt needs no proxy.
        await manager.reload(daemon, no_proxy=["127.0.0.0/8"])
        assert "500" in await evidence("origin_status: ")
        after = await daemon.call("GET", "/api/info")
        assert before[1]["body"]["config_hash"] != after[1]["body"]["config_hash"]
    log = capfd.readouterr().err
    assert "configuration read again, changed: fetch.allow, fetch.proxy\n" in log
    assert "secret" not in log


async def test_more_jobs_at_a_time(manager: Manager, tmp_path: Path) -> None:
    async with (
        Origin({"/a": IMAGE}, always=Hang(0)) as origin,
        running(tmp_path, fetch={"concurrent": 1}, environ=manager.environ) as daemon,
    ):
        await manager.message("READY=1")
        keys = [await daemon.submit(origin.url("/a"), digit * 64) for digit in "abc"]
        await origin.wait_for_requests(1)
        await manager.reload(daemon, concurrent=2)
        await origin.wait_for_requests(2)
        assert "2 of at most 2 jobs running" in await manager.message("STATUS=2")
        assert (await daemon.job(keys[2]))["status"] == "queued"
        # With a lower limit both running jobs continue, and no other job starts.
        await manager.reload(daemon, concurrent=1)
        assert "2 of at most 1 jobs running" in await manager.message("STATUS=2 of at most 1")
        await daemon.call("DELETE", f"/api/firmware/fetch/{keys[0]}")
        assert "1 of at most 1 jobs running" in await manager.message("STATUS=1")
        assert (await daemon.job(keys[2]))["status"] == "queued"


async def test_changes_that_need_a_restart_are_logged(
    manager: Manager, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, slots={"count": 2}, environ=manager.environ) as daemon:
        await manager.message("READY=1")
        daemon.slots = {"count": 3}
        await manager.reload(daemon, attempts=7)
        _, listed = await daemon.call("GET", "/api/firmware/slots")
        assert len(listed["items"]) == 2
        daemon.slots = {"count": 2}
        await manager.reload(daemon)
    log = capfd.readouterr().err
    assert "configuration read again, changed: fetch.attempts\n" in log
    assert log.count("these changes need a restart: slots.count\n") == 1
    assert "configuration read again, changed: nothing\n" in log
