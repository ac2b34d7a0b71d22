"""Response times of an honest client while other clients attack the daemon."""

import asyncio
import hashlib
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from spsd.testing.origin import Origin
from testbed.attackers import ATTACKERS_ADDRESS, ATTACKS, TLS_ATTACKS, Attack
from testbed.driver import Daemon

WATCHDOG_S = 4.0
"""The time within which a daemon under attack has to report to its watchdog."""
IMAGE_BYTES = 1_000_000


def attacks(*, tls: bool) -> dict[str, Attack]:
    """The attacks on a daemon, by name."""
    return ATTACKS | TLS_ATTACKS if tls else ATTACKS


@dataclass(frozen=True)
class Responsiveness:
    """What the honest client measured; times in milliseconds, memory of the daemon in MiB."""

    responses: int
    median_ms: float
    p99_ms: float
    worst_ms: float
    peak_mib: float
    descriptors: int
    threads: int
    attackers_connections: int


async def probe(daemon: Daemon, path: str, *, times: int, every_s: float = 0.02) -> list[float]:
    """Send ``times`` requests in sequence; gives the milliseconds of each.

    Every second one needs a new connection. Every response must have status 200.
    """
    durations_ms = []
    for number in range(times):
        began = time.perf_counter()
        headers = {"Connection": "close"} if number % 2 else {}
        status, document = await daemon.call("GET", path, headers=headers)
        durations_ms.append((time.perf_counter() - began) * 1000)
        assert status == 200, document
        await asyncio.sleep(every_s)  # the pace of an honest client
    return durations_ms


async def measure_under(
    daemon: Daemon,
    path: str,
    attack: str | None,
    *,
    times: int = 50,
    every_s: float = 0.02,
    source: str = ATTACKERS_ADDRESS,
) -> Responsiveness:
    """Probe during an attack; with ``attack`` None, without one."""
    daemon.forget_memory_peak()
    async with attacked(daemon, attack, source) as attacker:
        durations_ms = await probe(daemon, path, times=times, every_s=every_s)
        descriptors, threads = (
            len(list(Path(f"/proc/{daemon.process.pid}/{each}").iterdir()))
            for each in ("fd", "task")
        )
    return Responsiveness(
        responses=len(durations_ms),
        median_ms=statistics.median(durations_ms),
        p99_ms=sorted(durations_ms)[len(durations_ms) * 99 // 100],
        worst_ms=max(durations_ms),
        peak_mib=daemon.memory_peak_mib(),
        descriptors=descriptors,
        threads=threads,
        attackers_connections=attacker.connections,
    )


async def fetch(daemon: Daemon, origin: Origin) -> dict:
    """Fetch a new image of the origin; gives the body of the job when it is over."""
    image = os.urandom(IMAGE_BYTES)
    path = f"/{hashlib.sha256(image).hexdigest()}"
    origin.swap(path, image)
    key = await daemon.submit(origin.url(path), path[1:])
    return await daemon.over(key)


@dataclass
class Attacker:
    connections: int = 0


@asynccontextmanager
async def attacked(
    daemon: Daemon, attack: str | None, source: str = ATTACKERS_ADDRESS
) -> AsyncIterator[Attacker]:
    """Within this context a process attacks the daemon from ``source``; None: no attack."""
    attacker = Attacker()
    if attack is None:
        yield attacker
        return
    [cookie] = [cookie for cookie in daemon.client.cookie_jar if cookie.key == "session_id"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "testbed.attackers"),
        *(attack, daemon.url, f"{cookie.key}={cookie.value}", source),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert await process.stdout.readline() == b"attacking\n"
        # The attack needs time to build up, and nothing reports when it has.
        await asyncio.sleep(1)
        yield attacker
        assert process.returncode is None, f"{attack} has ended"
        process.terminate()
        attacker.connections = int((await process.communicate())[0])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@dataclass
class Watchdog:
    """The manager's end of the notifications of a daemon."""

    address: str
    reports: list[float] = field(default_factory=list)
    """The times of the messages to the watchdog, on the clock of the event loop."""

    def environ(self) -> dict[str, str]:
        """The variables that systemd sets."""
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}

    def longest_gap_s(self) -> float:
        """The longest time between two messages, or since the last one."""
        now = asyncio.get_running_loop().time()
        times = [*self.reports, now]
        return max(after - before for before, after in pairwise(times))


@asynccontextmanager
async def watching(directory: Path) -> AsyncIterator[Watchdog]:
    """Receive the notifications of a daemon within this context."""
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(str(directory / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(watchdog.address)
        channel.setblocking(False)

        def received() -> None:
            if b"WATCHDOG=1" in channel.recv(4096):
                watchdog.reports.append(loop.time())

        loop.add_reader(channel, received)
        try:
            yield watchdog
        finally:
            loop.remove_reader(channel)
