"""Programs that fail, write much output, hang, leave children behind, or cannot be run."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted
from spsd.system.programs import GRACE_S, OUTPUT_LIMIT, run_program
from testbed.waiting import has_ended, until_ended


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    def make(text: str) -> list[str]:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return [str(path)]

    return make


async def run(command: list[str], *, limit_s: float = 20, grace_s: float = GRACE_S) -> ProgramEnded:
    ended = await run_program(command, limit_s=limit_s, grace_s=grace_s)
    assert isinstance(ended, ProgramEnded)
    return ended


async def read_line(fifo: Path) -> str:
    """What a program writes into a named pipe; it waits for that."""
    return await asyncio.to_thread(fifo.read_text)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def input_waiting() -> Iterator[None]:
    """The standard input of this process has data to read."""
    saved = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, b"typed")
    os.close(writing)
    os.dup2(reading, 0)
    yield
    os.dup2(saved, 0)
    os.close(reading)
    os.close(saved)


async def test_output_is_in_order_and_the_input_is_empty(script, input_waiting):
    command = script("echo out; echo err >&2; cat; exit 7")
    assert await run(command) == ProgramEnded(7, "out\nerr\n")


async def test_no_shell_expands_the_arguments(script):
    ended = await run([*script('printf "%s|" "$@"'), "a b", "$HOME", ";"])
    assert ended.output == "a b|$HOME|;|"


async def test_a_signal_is_a_negative_status(script):
    assert (await run(script("kill -TERM $$"))).status == -signal.SIGTERM


async def test_the_environment_has_the_path_the_facts_and_no_secret(script, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    ended = await run_program(script("env"), limit_s=20, facts={"FACT": "a fact"})
    assert isinstance(ended, ProgramEnded)
    environ = dict(line.split("=", 1) for line in ended.output.splitlines())
    assert environ.pop("PATH") == os.environ["PATH"]
    # The shell adds these variables.
    by_the_shell = ("PWD", "_", "SHLVL", "OLDPWD")
    assert {name: environ[name] for name in environ if name not in by_the_shell} == {
        "FACT": "a fact"
    }


async def test_output_over_the_limit_is_read_and_dropped(script):
    ended = await run(script("head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
    assert ended.status == 0
    assert ended.output == "x" * OUTPUT_LIMIT
    assert ended.left_out == 3_000_004 - OUTPUT_LIMIT


async def test_output_that_is_not_utf_8_is_decoded_with_replacements(script):
    assert (await run(script("printf 'a\\377b'"))).output == "a\ufffdb"


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "No such file or directory"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("#!/no/such/interpreter\n", 0o755, "No such file or directory"),
        ("no program", 0o755, "Exec format error"),
    ],
)
async def test_a_program_that_cannot_be_run_gives_a_reason(tmp_path, text, mode, reason):
    path = tmp_path / "program"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    assert await run_program([str(path)], limit_s=5) == ProgramNotStarted(reason)


async def test_a_path_with_a_nul_gives_a_reason():
    assert await run_program(["/a\0b"], limit_s=5) == ProgramNotStarted("embedded null byte")


async def test_at_the_limit_the_whole_group_is_killed(script, fifo):
    command = script(f"echo begun; sleep 600 & echo $! > {fifo}; wait")
    reading = asyncio.ensure_future(read_line(fifo))
    ended = await run(command, limit_s=1)
    assert ended == ProgramEnded(-signal.SIGKILL, "begun\n", timed_out=True)
    await until_ended(int(await reading))


async def test_a_grandchild_does_not_outlive_its_program(script, fifo):
    """It also holds the output open, which must not delay the result."""
    reading = asyncio.ensure_future(read_line(fifo))
    async with asyncio.timeout(10):
        ended = await run(script(f"sleep 600 & echo $! > {fifo}; echo done"))
    assert ended == ProgramEnded(0, "done\n")
    await until_ended(int(await reading))


async def test_a_process_that_leaves_the_group_is_not_waited_for(script, fifo, tmp_path):
    left = tmp_path / "left"
    os.mkfifo(left)
    reading = asyncio.ensure_future(read_line(fifo))
    leaver = f"setsid sh -c 'echo > {left}; echo $$ > {fifo}; exec sleep 600'"
    command = script(f"{leaver} & read ignored < {left}; echo done")
    ended = await run(command, grace_s=0.1)
    assert ended == ProgramEnded(0, "done\n")
    os.kill(int(await reading), signal.SIGKILL)


async def test_a_cancel_kills_the_group(script, fifo):
    command = script(f"sleep 600 & echo $$ $! > {fifo}; wait")
    running = asyncio.create_task(run_program(command, limit_s=600))
    pids = [int(pid) for pid in (await read_line(fifo)).split()]
    assert not any(has_ended(pid) for pid in pids)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(pids) == 2
    for pid in pids:
        await until_ended(pid)


async def test_a_cancel_before_the_start_leaves_nothing(script, tmp_path):
    """Whichever step is cancelled, no process and no descriptor is left."""
    me = psutil.Process()
    before = me.num_fds()
    command = script("exec sleep 600")
    for iterations in range(8):
        running = asyncio.create_task(run_program(command, limit_s=600))
        for _ in range(iterations):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [child.pid for child in me.children() if "sleep" in child.cmdline()] == []
    assert me.num_fds() == before
