"""The notifications that systemd gets."""

import asyncio
import os
import socket
import time

import pytest

from spsd.system.systemd import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5)
        yield channel


def environ(manager, **more):
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_readiness_status_and_stop_are_sent(manager):
    notifier = Notifier.from_environment(environ(manager))
    notifier.ready("ready on https://x:1")
    notifier.status("two\nlines")
    notifier.stopping()
    assert [manager.recv(999) for _ in range(3)] == [
        b"READY=1\nSTATUS=ready on https://x:1",
        b"STATUS=two lines",
        b"STOPPING=1",
    ]


def test_a_reload_is_sent_with_its_time(manager):
    before = time.monotonic_ns() // 1000
    Notifier.from_environment(environ(manager)).reloading()
    first, second = manager.recv(999).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_reached():
    name = f"spsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(5)
        Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert channel.recv(99) == b"STOPPING=1"


async def wait_for_iteration():
    """A second loop that runs an iteration at once."""


async def test_the_watchdog_gets_two_messages_in_its_time(manager):
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    notifier = Notifier.from_environment(
        environ(manager, WATCHDOG_USEC="200000", WATCHDOG_PID=str(os.getpid()))
    )
    begun = loop.time()
    feeding = asyncio.create_task(notifier.feed_watchdog(wait_for_iteration))
    async with asyncio.timeout(5):
        for _ in range(4):
            assert await loop.sock_recv(manager, 99) == b"WATCHDOG=1"
    assert 0.25 < loop.time() - begun < 2
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding


async def test_a_blocked_second_loop_stops_the_watchdog_messages(manager):
    manager.setblocking(False)
    loop, iterated = asyncio.get_running_loop(), asyncio.Event()
    notifier = Notifier.from_environment(environ(manager, WATCHDOG_USEC="20000"))
    feeding = asyncio.create_task(notifier.feed_watchdog(iterated.wait))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await loop.sock_recv(manager, 99)
    iterated.set()
    async with asyncio.timeout(5):
        assert await loop.sock_recv(manager, 99) == b"WATCHDOG=1"
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}],
)
async def test_without_a_watchdog_for_this_process_nothing_is_sent(manager, more):
    async with asyncio.timeout(1):
        await Notifier.from_environment(environ(manager, **more)).feed_watchdog(wait_for_iteration)


async def test_without_systemd_nothing_happens():
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "1000"})
    notifier.ready("x")
    async with asyncio.timeout(1):
        await notifier.feed_watchdog(wait_for_iteration)


def test_a_vanished_socket_is_logged_once(tmp_path, caplog):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready("x")
    notifier.stopping()
    assert [record.getMessage()[:21] for record in caplog.records] == ["cannot notify systemd"]


def test_a_full_socket_does_not_block(manager):
    notifier = Notifier.from_environment(environ(manager))
    for _ in range(10_000):
        notifier.status("x")
