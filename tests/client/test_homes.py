"""Where spsctl stores its hosts: with and without a home, a user, or a file that it can read."""

import asyncio
import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.client.errors import CommandError, Exit
from spsd.client.hosts import Host, Hosts, config_roots, normalize_url
from testbed import needs
from tests.client.hostile_api import HostileApi, serve_hostile_api
from tests.client.processes import Result, Shell

NOBODY = 54321
"""A user id without an entry in the system's list."""


@pytest.fixture
async def api() -> AsyncIterator[HostileApi]:
    async with serve_hostile_api() as api:
        yield api


async def log_in(shell: Shell, api: HostileApi, uid: int | None = None) -> Result:
    # Without -u: the default of the prompt is the name of the user, who may have none.
    return await shell.run(
        *("login", api.url, "--password-file", "-", "-u", "ann"), stdin="secret\n", uid=uid
    )


async def test_without_home_the_system_s_list_has_it(api: HostileApi, tmp_path: Path) -> None:
    shell = Shell(tmp_path, changes={"HOME": None})
    assert (await log_in(shell, api)).err == ""
    assert (await shell.run("slots")).exit == 0
    assert shell.hosts.exists()


@pytest.mark.parametrize("home", ["", "relative", "./x"])
def test_a_home_that_is_no_absolute_path_does_not_count(home: str) -> None:
    roots = config_roots({"HOME": home, "XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home})
    assert all(root.is_absolute() for root in roots)
    assert roots == config_roots({})


def test_the_order_of_the_directories() -> None:
    environ = {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}
    assert config_roots(environ) == [Path("/c"), Path("/h/.config"), Path("/s")]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="spsctl-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs.root()
@needs.program("setpriv")
@pytest.mark.parametrize("home", [None, "/nonexistent", "/root", "/proc/1"])
async def test_a_user_whom_the_system_does_not_know(
    api: HostileApi, open_directory: Path, home: str | None
) -> None:
    temporary = open_directory / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    changes = {"HOME": home, "XDG_CONFIG_HOME": None, "TMPDIR": str(temporary)}
    changes |= dict.fromkeys(("USER", "LOGNAME", "LNAME", "USERNAME"))
    shell = Shell(open_directory, changes=changes)
    assert (await shell.run("slots", uid=NOBODY)).exit == Exit.NOT_LOGGED_IN
    logged_in = await log_in(shell, api, NOBODY)
    assert logged_in.exit == 0
    assert logged_in.err.count("\n") == logged_in.err.count("spsctl: warning: ") == 1
    assert "Set XDG_CONFIG_HOME" in logged_in.err
    own = temporary / f"spsctl-{NOBODY}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE((own / "hosts.json").stat().st_mode) == 0o600
    slots = await shell.run("slots", uid=NOBODY)
    assert (slots.exit, slots.err) == (0, "")
    # A directory that another user has made is neither read nor written.
    shutil.rmtree(own)
    own.mkdir(mode=0o777)
    (own / "hosts.json").write_text('{"current": "http://evil", "hosts": {}}')
    for result in (await shell.run("slots", uid=NOBODY), await log_in(shell, api, NOBODY)):
        assert result.exit == Exit.USAGE
        assert f"{own} is open to other users" in result.err
    # XDG_STATE_HOME is better than that.
    state = open_directory / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    shell.changes["XDG_STATE_HOME"] = str(state)
    shutil.rmtree(own)
    assert (await log_in(shell, api, NOBODY)).exit == 0
    assert (state / "spsctl" / "hosts.json").exists()
    assert (await shell.run("slots", uid=NOBODY)).exit == 0


@needs.root()
@needs.program("setpriv")
async def test_without_a_name_the_prompt_has_no_default(
    api: HostileApi, open_directory: Path
) -> None:
    changes = {"HOME": None, "XDG_CONFIG_HOME": None, "TMPDIR": str(open_directory)}
    changes |= dict.fromkeys(("USER", "LOGNAME", "LNAME", "USERNAME"))
    shell = Shell(open_directory, changes=changes)
    result = await shell.run("login", api.url, uid=NOBODY)
    assert result.exit == Exit.INTERRUPTED
    assert result.err.startswith("User: \n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"\x1b]0;x\x07",
        b'{"hosts": []}',
        b'{"hosts": {"http://x": {"url": 1}}}',
        b'{"current": "x", "hosts": {"x": {"url": "https://x", "fingerprint": "zz"}}}',
        b'{"current": "x", "hosts": {"x": {"url": "https://x", "token": "a\\r\\nX: y"}}}',
        b'{"a": ' + b"[" * 100_000,
    ],
)
async def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    shell = Shell(tmp_path)
    shell.hosts.parent.mkdir(parents=True)
    shell.hosts.write_bytes(content)
    for command in (("slots",), ("login", "--user", "a", "--password-file", "-"), ("forget", "x")):
        result = await shell.run(*command)
        assert (result.exit, result.out) == (Exit.USAGE, "")
        assert result.err.startswith(f"spsctl: {shell.hosts} cannot be read: ")
        assert result.err.count("\n") == 1
        assert "\x1b" not in result.err
    assert shell.hosts.read_bytes() == content


@given(st.binary(max_size=300) | st.text().map(lambda t: f'{{"hosts": {{"{t}": {t}}}}}'.encode()))
def test_no_file_is_anything_but_hosts_or_an_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "hosts.json"
        with contextlib.suppress(UnicodeEncodeError):
            path.write_bytes(content)
        with contextlib.suppress(CommandError):
            assert isinstance(Hosts(path).get("http://x"), Host)


def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spsctl" / "hosts.json"
    path.mkdir(parents=True)
    with pytest.raises(CommandError, match=r"cannot be read: .*Is a directory"):
        Hosts(path).save(Host(url="http://x"))
    for blocked in (path.parent / "hosts.json" / "file",):
        blocked.write_text("")
        with pytest.raises(CommandError, match=r"cannot be (read|written)"):
            Hosts(blocked / "hosts.json").save(Host(url="http://x"))


async def test_hosts_that_are_stored_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(serve_hostile_api()) for _ in range(6)]
        shell = Shell(tmp_path)
        results = await asyncio.gather(*(log_in(shell, api) for api in apis))
    assert [result.exit for result in results] == [0] * 6
    assert set(json.loads(shell.hosts.read_bytes())["hosts"]) == {api.url for api in apis}
    assert sorted(path.name for path in shell.hosts.parent.iterdir()) == [
        ".hosts.lock",
        "hosts.json",
    ]


def test_changes_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    script = (
        "import sys; from pathlib import Path; from spsd.client.hosts import Host, Hosts\n"
        "for n in range(40): Hosts(Path(sys.argv[1])).save(Host(url=f'http://{sys.argv[2]}-{n}'))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(number)])
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(json.loads(path.read_bytes())["hosts"]) == 160


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("HTTPS://Appliance:443/", "https://appliance"),
        ("appliance", "https://appliance"),
        ("http://x:80", "http://x"),
        ("http://x:443", "http://x:443"),
        ("https://[::1]:8443//", "https://[::1]:8443"),
        ("https://x/below/", "https://x/below"),
    ],
)
def test_one_host_has_one_url(url: str, normalized: str) -> None:
    assert normalize_url(url) == normalized
    assert normalize_url(normalized) == normalized


@pytest.mark.parametrize(
    "url", ["", "https://", "https://[", "https://x:99999", "https://x:y", "ftp://x", "://x", "/"]
)
async def test_what_is_no_url_of_a_host(url: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not the URL of a host"):
        normalize_url(url)
    for command in (("login", url, "-u", "a", "--password-file", "-"), ("--host", url, "slots")):
        result = await Shell(tmp_path).run(*command)
        assert result.exit == Exit.USAGE
        assert result.err.count("\n") == 1


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "\x1b[2J", "ü" * 64])
async def test_a_host_name_that_no_host_has(host: str, tmp_path: Path) -> None:
    for command in (
        ("login", f"https://{host}:1", "-u", "a", "--password-file", "-"),
        ("--host", f"https://{host}:1", "slots"),
    ):
        result = await Shell(tmp_path).run(*command, stdin="secret\n")
        assert result.exit in (Exit.UNREACHABLE, Exit.USAGE), result.err
        assert "\x1b" not in result.err
