"""Under attack the API responds to a regular client, and the daemon stays within its limits."""

import asyncio
import hashlib
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from spsd.testing.origin import Origin
from testbed.attackers import ATTACKS
from testbed.driver import FETCH, Daemon, running
from testbed.hostile import measure_under

MEMORY_MIB = 250
DESCRIPTORS = 512 + 160 + 64


@pytest.mark.timeout(300)
async def test_a_regular_client_is_served_under_attack(tmp_path: Path, tally, capfd) -> None:
    """One daemon for all attacks, so that remains of one attack affect the next."""
    async with running(tmp_path) as daemon:
        key = await daemon.submit("http://127.0.0.1:1/none", "0" * 64)
        calm = await measure_under(daemon, f"{FETCH}/{key}", None)
        for name in ATTACKS:
            measured = await measure_under(daemon, f"{FETCH}/{key}", name, times=15)
            ratio = measured.median_ms / calm.median_ms
            print(f"{name}: median {ratio:.1f} times the one without attack", measured)
            assert measured.descriptors <= DESCRIPTORS, name
            assert measured.peak_mib < MEMORY_MIB, name
            tally("requests answered under attack", measured.responses)
            tally("attacks on the server", 1)
        await daemon.client.close()
        await daemon.log_in()
        await check_service_and_stop(daemon)
    output = capfd.readouterr()
    print(output.out)
    # Faults of clients must not be logged with a traceback, which would fill the disk.
    assert "Traceback" not in output.err, output.err[:2000]


async def check_service_and_stop(daemon: Daemon) -> None:
    """The daemon serves a request, and stops with exit code 0."""
    status, _ = await daemon.call("GET", FETCH)
    assert status == 200
    assert await daemon.stop() == 0


@pytest.mark.timeout(120)
async def test_clients_leave_descriptors_for_downloads(tmp_path: Path, tally) -> None:
    """A process that may open 256 files, and 600 connections that send nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    image = b"image" * 1000
    idle: list[socket.socket] = []
    async with Origin({"/a": image}) as origin:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            context = running(tmp_path, slots={"accept": "any"})
            daemon = await context.__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            parts = urlsplit(daemon.url)
            loop = asyncio.get_running_loop()
            for _ in range(600):
                connection = socket.socket()
                connection.setblocking(False)
                idle.append(connection)
                await loop.sock_connect(connection, (parts.hostname, parts.port))
            key = await daemon.submit(origin.url("/a"), hashlib.sha256(image).hexdigest())
            assert (await daemon.over(key))["status"] == "finished"
            held = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
            assert held <= 256 - 64
            tally("idle connections against 256 descriptors", len(idle))
        finally:
            for connection in idle:
                connection.close()
            await context.__aexit__(None, None, None)
