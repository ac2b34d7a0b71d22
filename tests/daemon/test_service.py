"""The notifications of a running daemon to the service manager, on a real socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.driver import running


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield channel


async def test_ready_status_watchdog_stopping(manager: socket.socket, tmp_path: Path) -> None:
    def receive(message: str) -> str:
        while message not in (text := manager.recv(4096).decode()):
            pass
        return text

    async with running(tmp_path) as daemon:
        # The messages arrive in this order, with other messages between them.
        assert "STATUS=" in receive("READY=1")
        receive("WATCHDOG=1")
        receive("WATCHDOG=1")
        assert await daemon.stop() == 0
        receive("STOPPING=1")
