"""`spsd-conformance` as a process, against the real daemon."""

import asyncio
import json
import os
import re
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.testing.client import Client
from spsd.testing.conformance.fact import Mark, Need, Section
from spsd.testing.conformance.facts import FACTS
from spsd.testing.conformance.image import fresh_image
from testbed.driver import FETCH, PASSWORD, USER, Daemon, running
from tests.testing.alterations import ALTERATIONS
from tests.testing.proxy import Proxy, alter, serve_proxy, status

LIMITED = "reader"
SLOTS = "/api/firmware/slots"


@dataclass
class Run:
    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


async def conformance(
    *arguments: str, password: str | None = PASSWORD, code: str = "", stdin: str = ""
) -> Run:
    environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environ |= {"SPSD_LIMITED_PASSWORD": PASSWORD}
    environ |= {} if password is None else {"SPSD_PASSWORD": password}
    how = ("-c", code) if code else ("-m", "spsd.testing.conformance")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *how, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Run(process.returncode, out.decode(), err.decode())


async def install_and_run_an_image(daemon: Daemon, client: Client) -> None:
    """Install an image in slot 1; after a restart the slot runs and its image is verified."""
    kind = {"Content-Type": "application/octet-stream"}

    def upload() -> None:
        assert client.log_in(USER, PASSWORD).status == 200
        path = "/api/upload/firmware"
        assert client.call("POST", path, content=fresh_image(), headers=kind).status == 200

    await asyncio.to_thread(upload)
    await daemon.stop()
    await daemon.start()
    client.url = daemon.url


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_every_fact_holds_at_spsd(
    tmp_path: Path, tls: bool, tally: Callable[[str, int], None]
) -> None:
    daemon = Daemon(tmp_path, tls=tls, boot_id="first", booted_slot=1)
    daemon.configure()
    await daemon.add_user()
    await daemon.add_user(LIMITED, "viewer")
    try:
        await daemon.start()
        trusted: list[str] = []
        client = Client(daemon.url)
        if tls:
            certificate = daemon.state / "tls" / "certificate.pem"
            trusted = ["--ca-file", str(certificate)]
            client.context = ssl.create_default_context(cafile=certificate)
        await install_and_run_an_image(daemon, client)
        run = await conformance(
            *(daemon.url, "--user", USER, "--limited-user", LIMITED, "--destructive"), *trusted
        )
        slots = (await asyncio.to_thread(client.call, "GET", SLOTS)).document
        jobs = (await asyncio.to_thread(client.call, "GET", FETCH)).document
    finally:
        await daemon.kill()
        assert daemon.process is not None
        daemon.process._transport.close()
    wrong = [line for line in run.out.splitlines() if line.startswith(("broken", "diff", "skip"))]
    assert (run.status, wrong) == (0, [])
    assert run.last == (
        f"conformance: {len(FACTS)} facts hold, 0 broken, 0 differ from our choices, 0 skipped"
    )
    assert "left behind: slot 2 is chosen for the next boot" in run.out
    assert jobs["items"] == []
    assert slots["meta"]["number_of_empty_slots"] == 3
    tally("known facts hold at spsd, over TLS" if tls else "known facts hold at spsd", len(FACTS))


async def test_a_run_stays_within_its_reach(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        before = [await daemon.call("GET", path) for path in (FETCH, SLOTS)]
        reads = await conformance(daemon.url, "--user", USER, "--read-only", "--json")
        default = await conformance(daemon.url, "--user", USER, "--json")
        writes = await conformance(daemon.url, "--user", USER, "--writes", "--json")
        after_request = [await daemon.call("GET", path) for path in (FETCH, SLOTS)]
        assert before == after_request
        assert daemon.staged() == []
    needs = {fact.id: fact.need for fact in FACTS}
    for run, left_out in (
        (reads, set(Need) - {Need.NOTHING, Need.SESSION}),
        (default, {Need.LIMITED, Need.WRITES, Need.DESTRUCTIVE}),
        (writes, {Need.LIMITED, Need.DESTRUCTIVE}),
    ):
        report = json.loads(run.out)
        assert (run.status, report["counts"]["broken"], report["counts"]["differs"]) == (0, 0, 0)
        assert sum(report["counts"].values()) == len(FACTS) == len(report["facts"])
        skipped = {fact["id"] for fact in report["facts"] if fact["verdict"] == "skipped"}
        assert {fact for fact, need in needs.items() if need in left_out} <= skipped
        assert report["left_behind"] == []


async def test_one_image_is_enough_for_all_facts(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    image.write_bytes(fresh_image())
    async with running(tmp_path) as daemon:
        run = await conformance(
            *(daemon.url, "--user", USER, "--writes", "--image", str(image)),
            *("--section", "upload", "--section", "slots", "--section", "test", "--json"),
        )
    skipped = [fact for fact in json.loads(run.out)["facts"] if fact["verdict"] != "holds"]
    # This daemon does not know which slot runs.
    assert {fact["id"] for fact in skipped} == {"slots.list.current", "slots.list.next"}
    assert run.status == 0


async def test_api_version_skips_newer_facts(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        with serve_proxy(Proxy(daemon.url)) as proxy:
            proxy.alterations = (alter("GET", "/api/health_status", status(404)),)
            arguments = (proxy.url, "--user", USER, "--section", "info")
            newest = await conformance(*arguments)
            older = await conformance(*arguments, "--api-version", "7.0.4")
    assert (newest.status, older.status) == (1, 0)
    assert newest.out.count("broken   info.health") == 3
    assert older.out.count("known of version 7.2 and later") == 3
    assert "holds    info.user.name" in older.out


async def test_exit_status_of_a_broken_fact_and_of_another_choice(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        with serve_proxy(Proxy(daemon.url)) as proxy:
            arguments = (proxy.url, "--user", USER, "--section", "fetch")
            proxy.alterations = ALTERATIONS["fetch.post.location"]
            other = await conformance(*arguments)
            proxy.alterations = ALTERATIONS["fetch.post.202"]
            broken = await conformance(*arguments)
    assert other.status == 0
    assert "0 broken, 1 differ from our choices, 0 skipped" in other.last
    assert re.search("^differs +fetch.post.location .*\n +Location: expected", other.out, re.M)
    assert broken.status == 1
    assert re.search("^broken +fetch.post.202 .*\n +expected 202, got 200", broken.out, re.M)
    assert "Traceback" not in broken.err


async def test_an_unreachable_origin_is_explained(tmp_path: Path) -> None:
    async with running(tmp_path, fetch={"allow": []}) as daemon:
        run = await conformance(daemon.url, "--user", USER, "--section", "jobs")
    assert run.status == 0
    assert "--origin-host" in run.out
    assert "[fetch] allow" in run.out
    assert "policy" in run.out
    held = [line.split()[1] for line in run.out.splitlines() if line.startswith("holds")]
    assert "job.failed" in held
    assert "job.running" not in held


async def test_an_unusable_server_gives_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run = await conformance(url, "--user", USER)
    assert (run.status, run.out) == (2, "")
    assert run.err == f"Error: cannot connect to {url}: [Errno 111] Connection refused\n"
    async with running(tmp_path) as daemon:
        refused = await conformance(daemon.url, "--user", USER, password="sesame")
    assert (refused.status, refused.out) == (2, "")
    assert f"refuses the log-in of {USER} with the status 401" in refused.err
    assert "sesame" not in refused.err
    assert len(refused.err.splitlines()) == 1


async def test_password_from_standard_input(tmp_path: Path) -> None:
    async with running(tmp_path) as daemon:
        arguments = (daemon.url, "--user", USER, "--section", "transport")
        given = await conformance(
            *arguments, "--password-stdin", password=None, stdin=f"{PASSWORD}\n"
        )
        missing = await conformance(*arguments, password=None)
    assert given.status == 0, given.err
    assert missing.status == 2
    assert "--password-stdin, or $SPSD_PASSWORD" in missing.err


async def test_an_untrusted_certificate(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, tls=True)
    daemon.configure()
    await daemon.add_user()
    try:
        await daemon.start()
        refused = await conformance(daemon.url, "--user", USER)
        insecure = await conformance(
            daemon.url, "--user", USER, "--insecure", "--section", "transport"
        )
    finally:
        await daemon.kill()
        assert daemon.process is not None
        daemon.process._transport.close()
    assert refused.status == 2
    assert "--ca-file" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert insecure.status == 0, insecure.out


async def test_wrong_arguments_give_status_2_and_a_reason() -> None:
    for arguments, message in (
        ((), "URL --user NAME"),
        (("http://127.0.0.1:1",), "URL --user NAME"),
        (("127.0.0.1", "--user", USER), "no URL of a server"),
        (("http://127.0.0.1:1", "--api-version", "new"), "new is no version"),
        (("http://[", "--user", USER), "no URL of a server"),
        (("http://127.0.0.1:1", "--user", USER, "--read-only", "--writes"), "excludes"),
    ):
        run = await conformance(*arguments)
        assert run.status == 2, arguments
        assert message in run.err


async def test_a_missing_package_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pycdlib'] = None\n"
        "from spsd.testing.conformance.__main__ import main; main()"
    )
    run = await conformance(code=code)
    assert (run.status, run.out) == (2, "")
    assert run.err == (
        "spsd-conformance: the package pycdlib is missing; "
        "install it with: pip install 'spsd[testing]'\n"
    )


async def test_list_prints_every_fact_and_tries_none() -> None:
    run = await conformance("--list")
    assert run.status == 0
    assert [line.split()[0] for line in run.out.splitlines()] == [fact.id for fact in FACTS]


def test_facts_have_unique_ids_and_are_in_order() -> None:
    names = Counter(fact.id for fact in FACTS)
    assert [name for name, count in names.items() if count > 1] == []
    assert {fact.mark for fact in FACTS} == set(Mark)
    assert {fact.section for fact in FACTS} == set(Section)
    assert {fact.need for fact in FACTS} == set(Need)
    assert [fact.id for fact in FACTS if not fact.sentence.endswith(".")] == []
    order = list(Section)
    places = [order.index(fact.section) for fact in FACTS]
    assert places == sorted(places)
