"""The daemon's command line: output, exit codes, accounts, and the switch from root."""

import asyncio
import contextlib
import io
import logging
import os
import subprocess
import sys
import threading

import pytest

from spsd import cli, daemon
from spsd.accounts.model import Account, Role
from spsd.errors import AccountError, ConfigurationError, StateError
from spsd.system.host import this_appliance
from testbed import needs


class FakeAccounts:
    def __init__(self):
        self.calls = []

    async def add(self, name, password, role):
        if name == "taken":
            raise AccountError("the name taken is taken")
        self.calls.append(("add", name, password, role))

    async def set_password(self, name, password):
        self.calls.append(("set_password", name, password))

    async def remove(self, name):
        self.calls.append(("remove", name))

    async def list(self):
        return [Account("ann", Role.ADMIN, ""), Account("bob", Role.VIEWER, "")]


@pytest.fixture
def accounts(monkeypatch):
    fake = FakeAccounts()

    @contextlib.asynccontextmanager
    async def open_accounts(_settings):
        yield fake

    monkeypatch.setattr(daemon, "open_accounts", open_accounts)
    return fake


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "spsd.toml"
    path.write_text(f'[state]\ndirectory = "{tmp_path}/state"\n')
    return path


@pytest.fixture(autouse=True)
def hooks(monkeypatch):
    """`serve` replaces those of the process, and pytest has its own."""
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    yield
    logging.captureWarnings(False)


@pytest.fixture
def spsd(monkeypatch, capsys):
    """Run the command line in this process: exit code, standard output, standard error."""
    umask = os.umask(0o022)

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["spsd", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code, *capsys.readouterr())

    yield run
    os.umask(umask)


def test_check_config_accepts_a_good_file(spsd, config):
    assert spsd("check-config", "--config", config) == (0, f"{config}: ok\n", "")


def test_a_bad_configuration_is_one_line_and_exit_code_2(spsd, config):
    config.write_text("[fetch]\nconcurrent = 0\n")
    code, out, err = spsd("check-config", "--config", config)
    assert (code, out) == (2, "")
    assert err == f"spsd: {config}: fetch.concurrent: Expected `int` >= 1\n"


def test_a_failure_shows_no_text_of_a_file_as_it_is(spsd, config):
    config.write_text('[fetch]\n"\\u001b]0;x\\u0007\\u202e\\n<0>forged" = 0\n', encoding="utf-8")
    code, out, err = spsd("check-config", "--config", config)
    assert (code, out) == (2, "")
    assert r"fetch.\x1b]0;x\x07\u202e <0>forged" in err
    assert err.count("\n") == 1
    assert not set(err[:-1]) & set("\x1b\x07\n\u202e")


@pytest.mark.parametrize(
    ("more", "role"),
    [((), Role.ADMIN), (("--role", "admin"), Role.ADMIN), (("--role", "viewer"), Role.VIEWER)],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_add_user(spsd, config, accounts, more, role, end):
    call = ("user", "add", "ann", "--password-stdin", "--config", config, *more)
    assert spsd(*call, stdin=" pässword ".encode() + end) == (0, "", "")
    assert accounts.calls == [("add", "ann", " pässword ", role)]


def test_change_password(spsd, config, accounts):
    call = ("user", "password", "ann", "--password-stdin", "--config", config)
    code, _, err = spsd(*call, stdin=b"new\n")
    assert (code, err) == (
        0,
        "spsd: warning: a password of less than 8 characters is easily guessed\n",
    )
    assert accounts.calls == [("set_password", "ann", "new")]


def test_remove_user(spsd, config, accounts):
    assert spsd("user", "remove", "ann", "--config", config)[0] == 0
    assert accounts.calls == [("remove", "ann")]


def test_list_users(spsd, config, accounts):
    assert spsd("user", "list", "--config", config) == (0, "ann\tadmin\nbob\tviewer\n", "")


def test_an_spsd_error_is_one_line_and_exit_code_1(spsd, config, accounts):
    call = ("user", "add", "taken", "--password-stdin", "--config", config)
    assert spsd(*call, stdin=b"long enough") == (1, "", "spsd: the name taken is taken\n")


def test_a_password_that_is_not_utf_8_is_refused(spsd, config, accounts):
    call = ("user", "add", "ann", "--password-stdin", "--config", config)
    code, _, err = spsd(*call, stdin=b"\xff")
    assert (code, err) == (1, "spsd: the password on standard input is not UTF-8\n")


def test_without_a_terminal_the_password_must_come_from_stdin(spsd, config, accounts):
    code, _, err = spsd("user", "add", "ann", "--config", config, stdin=b"secret\n")
    assert code == 2
    assert "use --password-stdin" in err
    assert accounts.calls == []


def test_serve_gets_the_settings(spsd, config, monkeypatch, tmp_path):
    calls = []

    async def serve(settings, _reread, *, appliance, **_others):
        calls.append((settings.state.directory, os.umask(0o077), appliance))

    monkeypatch.setattr(daemon, "serve", serve)
    assert spsd("serve", "--config", config)[0] == 0
    assert calls == [(f"{tmp_path}/state", 0o077, this_appliance())]


@pytest.mark.parametrize(("kind", "code"), [(StateError, 1), (ConfigurationError, 2)])
def test_an_error_from_a_task_group_is_one_line(spsd, config, monkeypatch, kind, code):
    async def serve(_settings, _reread, **_others):
        async with asyncio.TaskGroup():
            raise kind("the message")

    monkeypatch.setattr(daemon, "serve", serve)
    assert spsd("serve", "--config", config) == (code, "", "spsd: the message\n")


def test_a_bug_keeps_its_traceback(spsd, config, monkeypatch):
    async def serve(_settings, _reread, **_others):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(99))
            raise ExceptionGroup("", [StateError("x"), KeyError("y")])

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["spsd", "serve", "--config", str(config)])
    with pytest.raises(ExceptionGroup):
        cli.main()


@needs.root()
def test_root_becomes_the_state_directory_s_owner(tmp_path):
    os.chown(tmp_path, 12345, 12346)
    script = (
        "import os, sys; from pathlib import Path; from spsd import cli; "
        "cli._become_owner(Path(sys.argv[1])); "
        "print(os.getresuid(), os.getresgid(), os.getgroups())"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, check=True, text=True
    )
    assert completed.stdout == "(12345, 12345, 12345) (12346, 12346, 12346) []\n"


def test_an_installation_that_the_owner_cannot_read_is_refused(spsd, config, accounts, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    code, _, err = spsd("user", "list", "--config", config)
    assert code == 1
    assert err.startswith(f"spsd: {os.__file__}: cannot be read by user {os.geteuid()}")
    assert err.count("\n") == 1


def test_version():
    completed = subprocess.run(
        [sys.executable, "-m", "spsd", "--version"], capture_output=True, check=True, text=True
    )
    assert completed.stdout.startswith("spsd, version ")
