"""Load and name of a Linux machine: the one that the tests run on."""

import asyncio
import os
import shutil
import socket
import time
from dataclasses import astuple

import pytest

from spsd.failures import ApplianceError, FailureCode
from spsd.system.host import READING_MAX_AGE_S, LinuxHost


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


async def test_the_first_reading_has_a_cpu_use(machine):
    assert (await machine.load()).cpu > 0


async def test_a_second_reading_within_a_second_is_the_first(machine, clock):
    first = await machine.load()
    clock.seconds += READING_MAX_AGE_S - 0.01
    assert await machine.load() is first
    clock.seconds += 0.02
    assert await machine.load() is not first


async def test_simultaneous_calls_share_a_reading(machine):
    first, *others = await asyncio.gather(*(machine.load() for _ in range(20)))
    assert first.cpu > 0
    assert all(other is first for other in others)


async def test_cpu_use_is_measured_whichever_thread_reads(machine, clock):
    def work():
        # Processor time, since a niced process gets little of it on a busy machine.
        before = time.thread_time()
        while time.thread_time() - before < 0.2:
            pass

    for _ in range(3):
        await machine.load()
        await asyncio.to_thread(work)
        clock.seconds += READING_MAX_AGE_S
        assert (await machine.load()).cpu > 0


async def test_a_cancelled_call_leaves_the_next_reading_complete(machine):
    cancelled = asyncio.create_task(machine.load())
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (await machine.load()).cpu > 0


async def test_a_file_system_that_cannot_be_read_is_named(clock, tmp_path):
    machine = LinuxHost(tmp_path / "gone", clock=clock)
    with pytest.raises(ApplianceError, match="gone") as caught:
        await machine.load()
    assert caught.value.code is FailureCode.DISK


async def test_the_name_is_the_host_name_of_the_machine(machine):
    name = await machine.name()
    assert name.hostname == socket.gethostname().partition(".")[0]
    assert "." not in name.hostname
    assert not name.domainname.startswith(".")
