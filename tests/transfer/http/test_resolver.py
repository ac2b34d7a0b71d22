"""Look-ups by libc that can be cancelled."""

import asyncio
import socket
import threading

import pytest

from spsd.transfer.http.addresses import InterruptibleResolver


async def test_a_name_and_its_addresses():
    addresses = await InterruptibleResolver().resolve("localhost", 80, socket.AF_INET)
    assert {(address["hostname"], address["host"], address["port"]) for address in addresses} == {
        ("localhost", "127.0.0.1", 80)
    }


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example", "ü..example"])
async def test_a_name_without_an_address(host):
    with pytest.raises(OSError, match=r"."):
        await InterruptibleResolver().resolve(host, 80)


async def test_a_look_up_can_be_cancelled(monkeypatch):
    called, answer = threading.Event(), threading.Event()

    def getaddrinfo(*args, **kwargs):
        called.set()
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    look_up = asyncio.create_task(InterruptibleResolver().resolve("slow.example", 80))
    await asyncio.to_thread(called.wait)
    look_up.cancel()
    await asyncio.wait([look_up])
    assert look_up.cancelled()
    answer.set()
    await asyncio.sleep(0)
