"""The notifications that systemd gets."""

import asyncio
import os
import resource
import socket
import time
from contextlib import ExitStack, closing

import pytest

from spsd.system.systemd import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5)
        yield channel


@pytest.fixture
def notifier_of():
    with ExitStack() as stack:
        yield lambda environ: stack.enter_context(closing(Notifier.from_environment(environ)))


def environ(manager, **more):
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_readiness_status_and_stop_are_sent(manager, notifier_of):
    notifier = notifier_of(environ(manager))
    notifier.ready("ready on https://x:1")
    notifier.status("two\nlines")
    notifier.stopping()
    assert [manager.recv(999) for _ in range(3)] == [
        b"READY=1\nSTATUS=ready on https://x:1",
        b"STATUS=two lines",
        b"STOPPING=1",
    ]


def test_a_reload_is_sent_with_its_time(manager, notifier_of):
    before = time.monotonic_ns() // 1000
    notifier_of(environ(manager)).reloading()
    first, second = manager.recv(999).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_reached(notifier_of):
    name = f"spsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(5)
        notifier_of({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert channel.recv(99) == b"STOPPING=1"


async def wait_for_iteration():
    """A second loop that runs an iteration at once."""


async def test_the_watchdog_gets_two_messages_in_its_time(manager, notifier_of):
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    notifier = notifier_of(environ(manager, WATCHDOG_USEC="200000", WATCHDOG_PID=str(os.getpid())))
    begun = loop.time()
    feeding = asyncio.create_task(notifier.feed_watchdog(wait_for_iteration))
    async with asyncio.timeout(5):
        for _ in range(4):
            assert await loop.sock_recv(manager, 99) == b"WATCHDOG=1"
    assert 0.25 < loop.time() - begun < 2
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding


async def test_a_blocked_second_loop_stops_the_watchdog_messages(manager, notifier_of):
    manager.setblocking(False)
    loop, iterated = asyncio.get_running_loop(), asyncio.Event()
    notifier = notifier_of(environ(manager, WATCHDOG_USEC="20000"))
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
async def test_without_a_watchdog_for_this_process_nothing_is_sent(manager, more, notifier_of):
    async with asyncio.timeout(1):
        await notifier_of(environ(manager, **more)).feed_watchdog(wait_for_iteration)


async def test_without_systemd_nothing_happens(notifier_of):
    notifier = notifier_of({"WATCHDOG_USEC": "1000"})
    notifier.ready("x")
    async with asyncio.timeout(1):
        await notifier.feed_watchdog(wait_for_iteration)


def test_a_vanished_socket_is_logged_once(tmp_path, caplog, notifier_of):
    notifier = notifier_of({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready("x")
    notifier.stopping()
    assert [record.getMessage()[:21] for record in caplog.records] == ["cannot notify systemd"]


def test_a_full_socket_does_not_block(manager, notifier_of):
    notifier = notifier_of(environ(manager))
    for _ in range(10_000):
        notifier.status("x")


def test_a_message_needs_no_new_descriptor(manager, notifier_of):
    notifier = notifier_of(environ(manager))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        notifier.stopping()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert manager.recv(99) == b"STOPPING=1"


def test_another_socket_at_the_address_gets_the_messages_after_a_failed_one(tmp_path, notifier_of):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(path)
        notifier = notifier_of({"NOTIFY_SOCKET": path})
    (tmp_path / "notify").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(path)
        second.settimeout(5)
        notifier.status("lost")
        notifier.stopping()
        assert second.recv(99) == b"STOPPING=1"
