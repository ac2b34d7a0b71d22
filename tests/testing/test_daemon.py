"""The daemon fixture and `DaemonProcess`, as test authors use them."""

import hashlib
import os
from pathlib import Path

import pytest

from spsd.testing.daemon import DaemonProcess
from spsd.testing.plugin import StartOrigin, hostile_origin, spsd_daemon
from testbed.waiting import wait_for

__all__ = ["hostile_origin", "spsd_daemon"]

FETCH, SLOTS = "/api/firmware/fetch", "/api/firmware/slots"
ANY = {"slots": {"accept": "any"}}


def test_start_stop_and_start_again(spsd_daemon: DaemonProcess) -> None:
    client = spsd_daemon.client()
    assert client.call("GET", FETCH).document["items"] == []
    first = spsd_daemon.pid
    assert first is not None
    assert spsd_daemon.stop() == 0
    assert spsd_daemon.pid is None
    with pytest.raises(ConnectionRefusedError):
        client.call("GET", FETCH)
    spsd_daemon.start()
    assert spsd_daemon.pid != first
    client.url = spsd_daemon.url
    assert client.call("GET", FETCH).status == 200
    assert spsd_daemon.client(None).call("GET", FETCH).status == 401


def test_the_process_ends_with_the_context(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path) as daemon:
        pid = daemon.pid
        assert pid is not None
        with pytest.raises(RuntimeError, match="runs already"):
            daemon.start()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert daemon.stop() is None


def test_a_failed_start_raises_the_reason(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, settings={"slots": {"count": 0}})
    daemon.configure()
    with pytest.raises(RuntimeError, match="slots"):
        daemon.start()
    assert daemon.pid is None


def test_fetch_from_a_hostile_origin(hostile_origin: StartOrigin, tmp_path: Path) -> None:
    content = os.urandom(5000)
    origin = hostile_origin({"/image": content})
    body = {
        "url": origin.url("/image"),
        "checksum": {"sha256": hashlib.sha256(content).hexdigest()},
    }
    with DaemonProcess(tmp_path, settings=ANY) as daemon:
        client = daemon.client()
        key = client.call("POST", FETCH, json_body=body).document["key"]
        wait_for(
            lambda: client.call("GET", f"{FETCH}/{key}").document["body"]["status"],
            lambda status: status == "finished",
        )
        assert daemon.slot_image(1).read_bytes() == content
        assert daemon.staged() == []


def test_reboot_runs_the_chosen_slot(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, settings=ANY, boot="a") as daemon:
        client = daemon.client()
        assert client.call("POST", "/api/upload/firmware", content=b"image").status == 200
        order = {"slot_id": 1, "message": "try it"}
        assert client.call("POST", "/api/firmware/upgrade", json_body=order).status == 200
        assert client.call("GET", SLOTS).document["meta"]["current_slot"] is None
        daemon.reboot("b")
        client.url = daemon.url
        assert client.call("GET", SLOTS).document["meta"]["current_slot"] == f"{SLOTS}/1"


def test_the_clock_can_be_set_while_the_daemon_runs(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path)
    daemon.set_clock(0)
    with daemon:
        client = daemon.client()
        daemon.set_clock(19 * 60)
        assert client.call("GET", FETCH).status == 200
        daemon.set_clock(24 * 3600)
        assert client.call("GET", FETCH).status == 401
