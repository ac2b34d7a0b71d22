"""Look-ups by libc, let go of at will."""

import asyncio
import socket
import threading

import pytest

from spsd.transfer.http.addresses import InterruptibleResolver


async def test_a_name_and_its_addresses():
    found = await InterruptibleResolver().resolve("localhost", 80, socket.AF_INET)
    assert {(one["hostname"], one["host"], one["port"]) for one in found} == {
        ("localhost", "127.0.0.1", 80)
    }


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example", "ü..example"])
async def test_a_name_that_is_none(host):
    with pytest.raises(OSError, match=r"."):
        await InterruptibleResolver().resolve(host, 80)


async def test_whoever_asked_may_leave(monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def getaddrinfo(*args, **kwargs):
        asked.set()
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    look_up = asyncio.create_task(InterruptibleResolver().resolve("slow.example", 80))
    await asyncio.to_thread(asked.wait)
    look_up.cancel()
    await asyncio.wait([look_up])
    assert look_up.cancelled()
    answer.set()
    await asyncio.sleep(0)
