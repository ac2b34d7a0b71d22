"""The reboot command is a real program; it writes into a pipe that the test reads."""

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from spsd.slots.hooks import RebootCommand
from testbed.waiting import until


@asynccontextmanager
async def running(command, delay_s=0.0):
    reboot = RebootCommand(command, delay_s=delay_s)
    task = asyncio.create_task(reboot.run())
    try:
        yield reboot
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def read(fifo):
    return await asyncio.to_thread(fifo.read_text)


async def test_the_command_runs_after_the_delay_and_without_a_shell(fifo):
    loop = asyncio.get_running_loop()
    async with running(
        ["sh", "-c", 'echo "$1" > "$0"', str(fifo), "$HOME;"], delay_s=0.2
    ) as reboot:
        start = loop.time()
        reboot.request()
        assert await read(fifo) == "$HOME;\n"  # no shell has expanded it
        assert loop.time() - start >= 0.2


async def test_every_request_is_served(fifo):
    async with running(["sh", "-c", 'echo now > "$0"', str(fifo)]) as reboot:
        for _ in range(3):
            reboot.request()
            assert await read(fifo) == "now\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sh", "-c", "echo not; echo allowed; exit 5"], "ended with 5: not allowed"),
        (["/no/such/program"], "cannot be run: No such file or directory"),
    ],
)
async def test_a_failure_is_logged_and_the_next_request_served(command, message, caplog):
    async with running(command) as reboot:
        for times in (1, 2):
            reboot.request()
            await until(lambda times=times: caplog.text.count(message) >= times)
    assert caplog.text.count(message) == 2


async def test_without_a_command_nothing_runs(caplog):
    caplog.set_level("INFO")
    async with running([]) as reboot:
        reboot.request()
        for _ in range(10):
            await asyncio.sleep(0)
    assert caplog.text == ""
