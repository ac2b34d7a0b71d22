"""spsctl as a process, against a real daemon over TLS: with a terminal, and with pipes."""

import asyncio
import hashlib
import json
import re
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spsd.client.errors import Exit
from spsd.testing.daemon import PASSWORD, USER
from spsd.testing.origin import Drip, Hang, Origin, Whole
from testbed.driver import running
from testbed.iso import build_iso
from tests.client.documented_api import serve_documented_api
from tests.client.processes import SPSCTL, User

VERSION = "2.5.0"


@pytest.fixture
async def user(tmp_path: Path) -> AsyncIterator[User]:
    home = tmp_path / "home"
    home.mkdir()
    async with running(tmp_path, tls=True) as daemon:
        yield User(home, daemon)


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return build_iso(tmp_path / "a.iso", size=300_000).read_bytes()


async def test_the_first_log_in_shows_the_fingerprint(user: User) -> None:
    terminal = await user.run_in_terminal("login", user.daemon.url, "-u", USER)
    await terminal.until("Password:")
    terminal.type(PASSWORD + "\n")
    shown = await terminal.until(r"Trust it from now on\? \[y/N\]")
    assert PASSWORD not in shown
    [fingerprint] = re.findall("(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", shown)
    terminal.type("y\n")
    await terminal.until("logged in to")
    assert await terminal.end() == 0
    host = json.loads(user.hosts.read_bytes())["hosts"][user.daemon.url]
    assert host["fingerprint"] == fingerprint.replace(":", "").lower()
    assert stat.S_IMODE(user.hosts.stat().st_mode) == 0o600
    assert stat.S_IMODE(user.hosts.parent.stat().st_mode) == 0o700


async def test_no_password_is_sent_to_an_untrusted_certificate(user: User) -> None:
    result = await user.run(
        "login", user.daemon.url, "-u", USER, "--password-file", "-", stdin=PASSWORD + "\nn\n"
    )
    assert result.exit == Exit.NOT_TRUSTED
    assert not user.hosts.exists()


async def test_another_certificate_than_the_pinned_one_is_rejected(user: User) -> None:
    await user.log_in()
    known = json.loads(user.hosts.read_bytes())
    known["hosts"][user.daemon.url]["fingerprint"] = "0" * 64
    user.hosts.write_text(json.dumps(known))
    result = await user.run("slots")
    assert result.exit == Exit.NOT_TRUSTED
    assert "00:00:00" in result.err
    assert "--fingerprint" in result.err


async def test_a_ca_file_instead_of_a_pin(user: User) -> None:
    result = await user.run(
        *("login", user.daemon.url.replace("127.0.0.1", "localhost"), "-u", USER),
        *("--password-file", "-", "--ca-file", str(user.daemon.state / "tls" / "certificate.pem")),
        stdin=PASSWORD + "\n",
    )
    assert result.exit == 0, result.err
    assert (await user.run("slots")).exit == 0


async def test_a_log_in_for_scripts(user: User) -> None:
    result = await user.run(
        *("login", user.daemon.url, "-u", USER, "--password-file", "-", "--yes", "--json"),
        stdin=PASSWORD + "\n",
    )
    assert result.document == {"host": user.daemon.url, "user": USER}
    unanswered = await user.run("login", user.daemon.url, "--json", stdin="")
    assert unanswered.exit == Exit.INTERRUPTED
    assert unanswered.out == ""


async def test_a_download_from_fetch_to_remove(user: User, image: bytes) -> None:
    digest = hashlib.sha256(image).hexdigest()
    assert (await user.log_in()).exit == 0
    async with Origin({"/a.iso": image}) as origin:
        result = await user.run("fetch", origin.url("/a.iso"), "--sha256", digest, "--wait")
    assert result.exit == 0, result.err
    assert "finished" in result.out.splitlines()[-1]
    [item] = (await user.run("downloads", "--json")).document["items"]
    key = item["key"]
    assert key[:8] in (await user.run("downloads")).out
    shown = await user.run("show", key[:5])
    assert "install" in shown.out
    assert (await user.run("show", key, "--json")).document["history"][-1]["cause"] == "install"
    assert VERSION in (await user.run("slots")).out
    assert (await user.run("slots", "--json")).document["items"][0]["body"]["version"] == VERSION
    tested = await user.run("test", "1")
    assert tested.exit == 0
    assert "ok" in tested.out
    refused = await user.run("cancel", key)
    assert (refused.exit, refused.out) == (Exit.CONFLICT, "")
    assert (await user.run("remove", key[:8])).exit == 0
    assert (await user.run("downloads", "--json")).document["items"] == []


async def test_a_server_of_the_documented_api_alone(tmp_path: Path, image: bytes) -> None:
    """Without events spsctl polls; without a history or a log-out the commands still succeed."""
    home = tmp_path / "home"
    home.mkdir()
    async with (
        running(tmp_path) as daemon,
        serve_documented_api(daemon.url) as url,
        Origin({"/a.iso": image}, [Drip(60_000, 0.3)]) as origin,
    ):
        user = User(home, daemon)
        logged_in = await user.run(
            *("login", url, "-u", USER, "--password-file", "-"), stdin=PASSWORD + "\n"
        )
        assert logged_in.exit == 0, logged_in.err
        fetched = await user.run(
            *("fetch", origin.url("/a.iso"), "--wait", "--json"),
            *("--sha256", hashlib.sha256(image).hexdigest()),
        )
        assert fetched.exit == 0, fetched.err
        lines = [json.loads(line)["body"]["status"] for line in fetched.out.splitlines()]
        assert lines[-1] == "finished"
        assert "in-progress" in lines
        shown = await user.run("show", "--json", json.loads(fetched.out.splitlines()[-1])["key"])
        assert "history" not in shown.document
        assert VERSION in (await user.run("slots")).out
        assert (await user.run("upload", str(tmp_path / "a.iso"))).exit == 0
        assert (await user.run("upgrade", "1", "--yes")).exit == 0
        assert (await user.run("logout")).exit == 0
        assert (await user.run("slots")).exit == Exit.NOT_LOGGED_IN


async def test_uploads_and_upgrades(user: User, image: bytes, tmp_path: Path) -> None:
    await user.log_in()
    result = await user.run("upload", str(tmp_path / "a.iso"), "--json")
    assert result.document["key"] == "1"
    upgraded = await user.run("upgrade", "1", "--yes", "-m", "because")
    assert upgraded.exit == 0, upgraded.err
    assert (await user.run("slots", "--json")).document["items"][0]["body"]["after_reboot"]
    assert (await user.run("upgrade", "2", "--yes")).exit == Exit.NOT_FOUND
    declined = await user.run("upgrade", "1", stdin="n\n")
    assert declined.exit == Exit.INTERRUPTED


async def test_each_kind_of_failure_has_its_exit_status(user: User, image: bytes) -> None:
    assert (await user.run("slots")).exit == Exit.NOT_LOGGED_IN
    wrong = await user.run(
        "login", user.daemon.url, "-u", USER, "--password-file", "-", "--yes", stdin="wrong\n"
    )
    assert wrong.exit == Exit.NOT_LOGGED_IN
    await user.log_in()
    async with Origin({"/a.iso": image}) as origin:
        failed = await user.run("fetch", origin.url("/none"), "--sha256", "a" * 64, "--wait")
        assert failed.exit == Exit.FAILED
        assert "origin_status" in failed.out
    for arguments, exit_ in (
        (("fetch", "http://x/", "--sha256", "short"), Exit.REFUSED),
        (("fetch", "http://x/"), Exit.USAGE),
        (("show", "ffff"), Exit.NOT_FOUND),
        (("frobnicate",), Exit.USAGE),
        (("--host", "http://127.0.0.1:1", "slots"), Exit.UNREACHABLE),
    ):
        result = await user.run(*arguments)
        assert (result.exit, result.out) == (exit_, ""), arguments
        assert result.err
    document = (await user.run("show", "ffff", "--json")).document
    assert document["error"]["exit"] == Exit.NOT_FOUND
    assert (await user.run("logout")).exit == 0
    assert (await user.run("slots")).exit == Exit.NOT_LOGGED_IN


async def test_a_checksum_file_from_disk_and_from_an_origin(user: User, image: bytes) -> None:
    sums = f"{'0' * 64}  b.iso\n{hashlib.sha256(image).hexdigest()}  a.iso\n"
    await user.log_in()
    (user.home / "SHA256SUMS").write_text(sums)
    async with Origin({"/a.iso": image, "/SHA256SUMS": sums.encode()}) as origin:
        for location in (str(user.home / "SHA256SUMS"), origin.url("/SHA256SUMS")):
            result = await user.run(
                "fetch", origin.url("/a.iso"), "--sha256-file", location, "--wait", "--json"
            )
            assert result.exit == 0, result.err
            lines = [json.loads(line) for line in result.out.splitlines()]
            assert lines[-1]["body"]["status"] == "finished"


async def test_ctrl_c_ends_the_progress_bar_and_not_the_job(user: User, image: bytes) -> None:
    await user.log_in()
    async with Origin({"/a.iso": image}, [Hang(150_000), Whole()]) as origin:
        terminal = await user.run_in_terminal(
            *("fetch", origin.url("/a.iso"), "--wait"),
            *("--sha256", hashlib.sha256(image).hexdigest()),
        )
        await terminal.until("in-progress.*50% of 300.0 kB")
        terminal.type("\x03")
        await terminal.until("interrupted; the appliance continues")
        assert await terminal.end() == Exit.INTERRUPTED
        [item] = (await user.run("downloads", "--json")).document["items"]
        assert item["body"]["status"] == "in-progress"
        assert (await user.run("cancel", item["key"])).exit == 0


async def test_watch_reconnects_to_a_restarted_daemon(user: User, image: bytes) -> None:
    await user.log_in()
    acts = [Hang(100_000), Drip(50_000, 0.05)]
    async with Origin({"/a.iso": image}, acts) as origin:
        key = await user.daemon.submit(origin.url("/a.iso"), hashlib.sha256(image).hexdigest())
        terminal = await user.run_in_terminal("watch", key[:8])
        await terminal.until("33% of 300.0 kB")
        port = int(user.daemon.url.rpartition(":")[2])
        await user.daemon.kill()
        await terminal.until("cannot be reached")
        user.daemon.server = {"port": port}
        user.daemon.configure()
        await user.daemon.start()
        await terminal.until("finished")
        assert await terminal.end() == 0


async def test_a_closed_pipe_is_no_error(user: User) -> None:
    await user.log_in()
    command = " ".join((*SPSCTL, "slots"))
    process = await asyncio.create_subprocess_shell(
        f"{command} | true; exit ${{PIPESTATUS[0]}}",
        stderr=asyncio.subprocess.PIPE,
        env=user.environ,
        executable="/bin/bash",
    )
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_completion_script_for_each_shell(user: User, shell: str) -> None:
    result = await user.run("completion", shell)
    assert result.exit == 0
    assert "_SPSCTL_COMPLETE" in result.out


async def test_keys_are_completed(user: User, image: bytes) -> None:
    await user.log_in()
    async with Origin({"/a.iso": image}) as origin:
        key = await user.daemon.submit(origin.url("/a.iso"), "a" * 64)
    environ = {"_SPSCTL_COMPLETE": "bash_complete", "COMP_WORDS": f"spsctl show {key[:3]}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spsd.client"),
        env=user.environ | environ | {"COMP_CWORD": "2"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert key in out.decode()


async def test_every_command_is_documented(user: User) -> None:
    text = (Path(__file__).parents[2] / "docs" / "spsctl.md").read_text()
    usage = (await user.run("--help")).out.partition("Commands:\n")[2]
    commands = re.findall(r"^  (\w+)", usage, re.MULTILINE)
    assert "watch" in commands
    assert [name for name in commands if f"| `spsctl {name}" not in text] == []
