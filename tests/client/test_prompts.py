"""Prompts and views of spsctl: the first Ctrl-C ends each, and leaves the terminal as it was."""

import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spsd.client.errors import Exit, Interrupted
from spsd.client.prompts import ask
from tests.authority import Authority
from tests.client.hostile_api import HostileApi, serve_hostile_api
from tests.client.processes import Shell, Terminal

CTRL_C, CTRL_D = "\x03", "\x04"
STEPS = (("User", "ann\n"), ("Password", "secret\n"), ("Trust it from now on", ""))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[HostileApi]:
    async with serve_hostile_api(Authority(tmp_path).context()[0]) as api:
        yield api


@pytest.fixture
def shell(tmp_path: Path, api: HostileApi) -> Shell:
    return Shell(tmp_path, changes={"SPSCTL_HOST": api.url})


async def ended(terminal: Terminal, prompt: str) -> int:
    """Its exit status; it has shown one prompt, no traceback, and the terminal echoes again."""
    exit_ = await terminal.end_without_closing()
    shown = terminal.shown
    assert "Traceback" not in shown
    assert shown.count(prompt) == 1
    assert terminal.echoes
    assert shown.endswith("\n")
    terminal.close()
    return exit_


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize("answered", [0, 1, 2])
async def test_one_key_ends_a_log_in(
    shell: Shell, api: HostileApi, answered: int, key: str
) -> None:
    terminal = await shell.run_in_terminal("login", api.url)
    for prompt, answer in STEPS[:answered]:
        await terminal.until(f"{prompt}[^\n]*: $")
        terminal.type(answer)
    prompt = STEPS[answered][0]
    await terminal.until(f"{prompt}[^\n]*: $")
    terminal.type(key)
    exit_ = await ended(terminal, prompt)
    last = terminal.shown.splitlines()[-1]
    if key == CTRL_C:
        assert (exit_, last) == (Exit.INTERRUPTED, "spsctl: interrupted; nothing was changed")
    elif prompt.startswith("Trust"):
        assert exit_ == Exit.NOT_TRUSTED
        assert "the certificate is not trusted, and the input ended" in terminal.shown
    else:
        assert (exit_, last) == (
            Exit.INTERRUPTED,
            "spsctl: the input ended before an answer; nothing was changed",
        )
    assert api.log_ins == []
    assert not shell.hosts.exists()


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["ctrl-c", "ctrl-d"])
async def test_one_key_ends_the_question_of_an_upgrade(shell: Shell, key: str) -> None:
    terminal = await shell.run_in_terminal("upgrade", "1")
    await terminal.until(r"Restart [^\n]*: $")
    terminal.type(key)
    assert await ended(terminal, "Restart") == Exit.INTERRUPTED
    assert terminal.shown.splitlines()[-1].endswith("; nothing was changed")


async def test_one_ctrl_c_ends_watch_and_shows_the_cursor_again(tmp_path: Path) -> None:
    async with serve_hostile_api() as plain:
        shell = Shell(tmp_path, changes={"SPSCTL_HOST": plain.url})
        terminal = await shell.run_in_terminal("watch")
        await terminal.until("failed")
        terminal.type(CTRL_C)
        assert await terminal.end_without_closing() == Exit.INTERRUPTED
        assert "Traceback" not in terminal.shown
        assert "interrupted" in terminal.shown
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
        assert terminal.echoes
        terminal.close()


async def test_one_ctrl_c_ends_a_wait_for_a_lost_host(tmp_path: Path) -> None:
    async with serve_hostile_api() as plain:
        shell = Shell(tmp_path, changes={"SPSCTL_HOST": plain.url})
        terminal = await shell.run_in_terminal("watch")
        await terminal.until("failed")
    await terminal.until("cannot be reached")
    terminal.type(CTRL_C)
    assert await terminal.end() == Exit.INTERRUPTED
    assert "Traceback" not in terminal.shown


async def test_a_long_list_of_downloads_is_watched(tmp_path: Path) -> None:
    """One event of more than a megabyte: aiohttp by itself refuses lines of 128 KiB."""
    async with serve_hostile_api(more=1000) as plain:
        shell = Shell(tmp_path, changes={"SPSCTL_HOST": plain.url})
        watched = await shell.run("watch", "aaaa", "--json")
        assert watched.exit == Exit.FAILED, watched.err[-300:]


class InterruptedOutput(io.StringIO):
    """Standard error: a SIGINT comes in the call that makes the question visible."""

    pending = True

    def flush(self) -> None:
        if self.pending and self.getvalue():
            self.pending = False
            os.kill(os.getpid(), signal.SIGINT)


def test_a_ctrl_c_while_the_question_is_written_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's input() discards an exception of that flush, and then waits for an answer."""
    reading, writing = os.pipe()
    # The tests may be a background job, in which SIGINT is ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    output = InterruptedOutput()
    monkeypatch.setattr(sys, "stderr", output)
    end_of_input = threading.Timer(10, os.close, [writing])
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        end_of_input.start()
        with pytest.raises(Interrupted, match=r"^interrupted; nothing was changed$"):
            ask("User")
    end_of_input.cancel()
    os.close(writing)
    assert not output.pending
    assert signal.signal(signal.SIGINT, inherited) is signal.default_int_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
