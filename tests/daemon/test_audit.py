"""The audit trail of a daemon process, and the filter for fail2ban that reads it."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from spsd.accounts.model import FREE_FAILURES
from testbed import needs
from testbed.driver import Daemon, running
from tests.web.conftest import PASSWORD, basic

ROOT = Path(__file__).parents[2]
FILTER = ROOT / "docs" / "monitoring" / "fail2ban" / "filter.conf"
LOG_IN = "/api/authentication"
VICTIM = "198.51.100.99"
HOSTILE = (
    f'x" address={VICTIM} user="y',
    f'\nspsd.audit: log-in-failed address={VICTIM} user="z"',
    f'\r\n2026-01-01 00:00:00,000 WARNING spsd.audit: log-in-failed address={VICTIM} user="z"',
    f'\u2028spsd.audit: log-in-failed address={VICTIM} user="z"',
    f"\x1b]0;{VICTIM}\x07\x85{VICTIM}\x00",
    f"log-in-failed address={VICTIM}",
    f"{VICTIM} " * 400,
)
"""Names that try to name another address; none has a colon, which ends the name."""


async def fail(url: str, name: str, **fields: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + LOG_IN, headers=basic(name.replace(":", "="), "x") | fields) as response,
    ):
        return response.status


@pytest.fixture(params=["text", "auto", "json"])
async def daemon(tmp_path: Path, request) -> AsyncIterator[Daemon]:
    class Configured(Daemon):
        def configure(self) -> None:
            super().configure()
            with self.config.open("a") as file:
                file.write(f'[log]\nformat = "{request.param}"\n')

    server = {"trusted_proxies": ["127.0.0.1"]}
    log = tmp_path / "log"
    async with running(tmp_path, daemon_type=Configured, server=server, log=log) as daemon:
        yield daemon


@needs.program("fail2ban-regex")
async def test_fail2ban_finds_exactly_the_failed_log_ins(daemon: Daemon) -> None:
    expected = []
    for number, name in enumerate(HOSTILE):
        own = f"2001:db8::{number + 1:x}" if number % 2 else f"192.0.2.{number + 1}"
        assert await fail(daemon.url, name, **{"X-Forwarded-For": f"{VICTIM}, {own}"}) == 401
        expected.append(own)
    for _ in range(FREE_FAILURES):
        assert await fail(daemon.url, "admin", **{"X-Forwarded-For": "192.0.2.50"}) == 401
    expected += ["192.0.2.50"] * FREE_FAILURES
    # On a slow machine the first block, of a second, may be over already; each further one is twice
    # as long.
    status = 401
    while status == 401:
        status = await fail(daemon.url, "admin", **{"X-Forwarded-For": "192.0.2.50"})
        expected.append("192.0.2.50")
    assert status == 429
    # None of these is an attempt to log in that failed.
    async with aiohttp.ClientSession() as session:
        for fields, status in (({}, 401), ({"Authorization": "Bearer x"}, 401)):
            async with session.get(daemon.url + LOG_IN, headers=fields) as response:
                assert response.status == status
    await daemon.call("DELETE", f"/api/firmware/fetch/spsd.audit=log-in-failed address={VICTIM}")
    assert await fail(daemon.url, "admin", Authorization=basic("admin", PASSWORD)["Authorization"])
    assert await daemon.stop() == 0

    lines = [line for line in daemon.log.read_text().splitlines() if "log-in-" in line]
    assert all(len(line) < 2500 for line in lines)
    found = await asyncio.to_thread(
        subprocess.run,
        ["fail2ban-regex", "--print-all-missed", "-o", "ip", daemon.log, FILTER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(found.stdout.split()) == sorted(expected), found.stdout + found.stderr


async def test_each_line_names_user_and_address(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running(tmp_path, log=log) as daemon:
        key = await daemon.submit("http://127.0.0.1:9/a.iso", "a" * 64)
        await daemon.over(key)
        await daemon.call("DELETE", f"/api/firmware/fetch/{key}")
        await daemon.call("DELETE", LOG_IN)
        assert await daemon.stop() == 0
    audit = [line for line in log.read_text().splitlines() if " spsd.audit: " in line]
    client = 'address=127.0.0.1 user="operator"'
    texts = [line.partition(" spsd.audit: ")[2] for line in audit]
    assert texts == [
        f"log-in {client}",
        f'submit {client} job="{key}" result="ok"',
        f'remove {client} job="{key}" result="ok"',
        f"log-out {client}",
    ]


@needs.program("fail2ban-regex")
def test_lines_of_the_journal_are_found(tmp_path: Path) -> None:
    """fail2ban puts host and program before what the journal has of a line."""
    log = tmp_path / "log"
    line = "Jan 01 00:00:00 appliance spsd[42]: spsd.audit: log-in-{}failed address={} user={}\n"
    log.write_text(
        line.format("", "192.0.2.7", '"x"')
        + line.format("", "2001:db8::7", json.dumps('x" address=198.51.100.99'))
        + line.format("", "192.0.2.7", '"x"').replace(" spsd.audit", " spsd.jobs: spsd.audit")
        + line.format("not-", "192.0.2.7", '"x"')
    )
    found = subprocess.run(
        ["fail2ban-regex", "-o", "ip", log, FILTER], capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == ["192.0.2.7", "2001:db8::7"], found.stdout + found.stderr
