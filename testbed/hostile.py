"""Response times of an honest client while other clients attack the daemon."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.driver import Daemon


@dataclass(frozen=True)
class Responsiveness:
    """What the honest client measured; times in milliseconds, memory of the daemon in MiB."""

    responses: int
    median_ms: float
    worst_ms: float
    peak_mib: float
    descriptors: int
    attackers_connections: int


async def probe(daemon: Daemon, path: str, *, times: int, every_s: float = 0.02) -> list[float]:
    """Send ``times`` requests in sequence; gives the milliseconds of each.

    Every response must have status 200.
    """
    durations_ms = []
    for _ in range(times):
        began = time.perf_counter()
        status, document = await daemon.call("GET", path)
        durations_ms.append((time.perf_counter() - began) * 1000)
        assert status == 200, document
        await asyncio.sleep(every_s)  # the pace of an honest client
    return durations_ms


async def measure_under(
    daemon: Daemon, path: str, attack: str | None, *, times: int = 50
) -> Responsiveness:
    """Probe during an attack; with ``attack`` None, without one."""
    async with attacked(daemon, attack) as attacker:
        durations_ms = await probe(daemon, path, times=times)
        descriptors = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
    return Responsiveness(
        responses=len(durations_ms),
        median_ms=statistics.median(durations_ms),
        worst_ms=max(durations_ms),
        peak_mib=daemon.memory_peak_mib(),
        descriptors=descriptors,
        attackers_connections=attacker.connections,
    )


@dataclass
class Attacker:
    connections: int = 0


@asynccontextmanager
async def attacked(daemon: Daemon, attack: str | None) -> AsyncIterator[Attacker]:
    """Within this context a separate process attacks the daemon; None: no attack."""
    attacker = Attacker()
    if attack is None:
        yield attacker
        return
    [cookie] = [cookie for cookie in daemon.client.cookie_jar if cookie.key == "session_id"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "testbed.attackers"),
        *(attack, daemon.url, f"{cookie.key}={cookie.value}"),
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
