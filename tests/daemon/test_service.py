"""What the service manager sees: the notify protocol on a real socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.driver import running


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield listening


async def test_ready_status_watchdog_stopping(manager: socket.socket, tmp_path: Path) -> None:
    def told(what: str) -> str:
        while what not in (text := manager.recv(4096).decode()):
            pass
        return text

    async with running(tmp_path) as daemon:
        # Read in this order: each arrives, whatever comes between.
        assert "STATUS=" in told("READY=1")
        told("WATCHDOG=1")
        told("WATCHDOG=1")
        assert await daemon.stop() == 0
        told("STOPPING=1")
