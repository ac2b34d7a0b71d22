"""The machine that the tests run on."""

import asyncio
import os
import shutil
import socket
import time
from dataclasses import astuple

import pytest

from spsd.failures import ApplianceError, FailureCode
from spsd.system.host import KEEP_S, LinuxHost


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def machine(tmp_path, clock):
    return LinuxHost(tmp_path, clock=clock)


async def test_a_reading_is_of_this_machine(machine, tmp_path):
    load = await machine.load()
    for percent in (load.cpu, load.disk, load.memory, load.swap):
        assert 0.0 <= percent <= 100.0
    assert load.memory > 0  # this test alone takes some
    usage = shutil.disk_usage(tmp_path)
    assert load.disk == pytest.approx(100 * usage.used / (usage.used + usage.free), abs=2)
    now = os.getloadavg()
    assert (load.load1, load.load5, load.load15) == pytest.approx(now, abs=2)
    assert all(isinstance(value, float) for value in astuple(load))


async def test_the_first_reading_has_a_use_to_tell_of(machine):
    assert (await machine.load()).cpu > 0


async def test_a_second_reading_within_a_second_is_the_first(machine, clock):
    first = await machine.load()
    clock.seconds += KEEP_S - 0.01
    assert await machine.load() is first
    clock.seconds += 0.02
    assert await machine.load() is not first


async def test_many_who_ask_at_once_are_told_the_same(machine):
    first, *others = await asyncio.gather(*(machine.load() for _ in range(20)))
    assert first.cpu > 0
    assert all(other is first for other in others)


async def test_work_is_seen_whichever_thread_reads(machine, clock):
    def work():
        # Of a process: whose time is "nice" on the whole machine is "user" of its own.
        before = time.thread_time()
        while time.thread_time() - before < 0.2:
            pass

    for _ in range(3):
        await machine.load()
        await asyncio.to_thread(work)
        clock.seconds += KEEP_S
        assert (await machine.load()).cpu > 0


async def test_one_who_gives_up_takes_nothing_from_the_others(machine):
    hasty = asyncio.create_task(machine.load())
    await asyncio.sleep(0)
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    assert (await machine.load()).cpu > 0


async def test_a_file_system_that_does_not_answer_has_a_name(clock, tmp_path):
    machine = LinuxHost(tmp_path / "gone", clock=clock)
    with pytest.raises(ApplianceError, match="gone") as caught:
        await machine.load()
    assert caught.value.code is FailureCode.DISK


async def test_the_machine_is_called_what_it_calls_itself(machine):
    name = await machine.name()
    assert name.hostname == socket.gethostname().partition(".")[0]
    assert "." not in name.hostname
    assert not name.domainname.startswith(".")
