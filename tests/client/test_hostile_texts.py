"""spsctl as a process against a server with hostile texts: in a terminal, in a pipe, as JSON."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spsd.client.errors import Exit
from tests.client.hostile_api import KEY, MARKUP, SHOWN, serve_hostile_api
from tests.client.processes import Shell

COMMANDS = {
    ("downloads",): Exit.DONE,
    ("show", "aaaa"): Exit.DONE,
    ("slots",): Exit.DONE,
    ("info",): Exit.DONE,
    ("test", "1"): Exit.DONE,
    ("fetch", "http://x.example/a.iso", "--sha256", "0" * 64): Exit.DONE,
    ("watch", "aaaa"): Exit.FAILED,
    ("upgrade", "1", "--yes"): Exit.CONFLICT,
    ("remove", "aaaa"): Exit.CONFLICT,
    ("cancel", "aaaa"): Exit.CONFLICT,
    ("show", "\x1b[5mzzzz"): Exit.NOT_FOUND,
    ("show", "--\x1b[5mzzzz"): Exit.USAGE,
    ("\x1b[5mzzzz",): Exit.USAGE,
}
WITHOUT_TEXT = {("cancel", "aaaa"), ("show", "\x1b[5mzzzz")}
# What rich writes: colours, the cursor, and the erasure of a line of the progress view.
OWN = re.compile(r"\x1b\[(?!5m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[\d?[AK]|\r")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with serve_hostile_api() as api:
        yield Shell(tmp_path, changes={"SPSCTL_HOST": api.url, "COLUMNS": "2000"})


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
async def test_a_terminal_gets_no_control_character(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    terminal = await shell.run_in_terminal(*arguments)
    assert await terminal.end() == COMMANDS[arguments]
    text = OWN.sub("", terminal.raw)
    assert CONTROL.search(text) is None
    if COMMANDS[arguments] is not Exit.USAGE and arguments not in WITHOUT_TEXT:
        assert MARKUP in text
        assert SHOWN in text
    piped = await shell.run(*arguments)
    assert piped.exit == COMMANDS[arguments]
    assert CONTROL.search(piped.out + piped.err) is None
    if COMMANDS[arguments] is not Exit.USAGE:
        printed = (await shell.run(*arguments, "--json")).out
        assert CONTROL.search(printed) is None
        [json.loads(line) for line in printed.splitlines()]


async def test_completion_of_a_hostile_key(shell: Shell) -> None:
    for kind in ("bash", "zsh", "fish"):
        completing = {
            "_SPSCTL_COMPLETE": f"{kind}_complete",
            "COMP_WORDS": "spsctl show aaaa",
            "COMP_CWORD": "2" if kind != "fish" else "aaaa",
        }
        completed = await Shell(shell.home, changes=shell.changes | completing).run()
        assert KEY[:9] in completed.out
        assert CONTROL.search(completed.out.replace("\t", "")) is None
