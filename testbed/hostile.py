"""How a client fares while another one attacks."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.driver import FETCH, Daemon

ONE = f"{FETCH}/{{key}}"


@dataclass(frozen=True)
class Fared:
    """What the honest client saw; times in milliseconds."""

    answered: int
    median_ms: float
    worst_ms: float
    peak_mib: float
    descriptors: int
    attackers_connections: int


async def probe(daemon: Daemon, path: str, *, times: int, every_s: float = 0.02) -> list[float]:
    """Ask so often, one after the other; every answer must be a good one."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        status, document = await daemon.call("GET", path)
        taken.append((time.perf_counter() - began) * 1000)
        assert status == 200, document
        await asyncio.sleep(every_s)  # the pace of an honest client
    return taken


async def under(daemon: Daemon, path: str, attack: str | None, *, times: int = 50) -> Fared:
    """Probe while an attack goes on, or none."""
    async with attacked(daemon, attack) as attacker:
        taken = await probe(daemon, path, times=times)
        descriptors = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
    return Fared(
        answered=len(taken),
        median_ms=statistics.median(taken),
        worst_ms=max(taken),
        peak_mib=daemon.memory_peak_mib(),
        descriptors=descriptors,
        attackers_connections=attacker.connections,
    )


@dataclass
class Attacker:
    connections: int = 0


@asynccontextmanager
async def attacked(daemon: Daemon, attack: str | None) -> AsyncIterator[Attacker]:
    """Meanwhile a process of its own attacks; None: nobody does."""
    attacker = Attacker()
    if attack is None:
        yield attacker
        return
    [cookie] = [one for one in daemon.client.cookie_jar if one.key == "session_id"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "testbed.attackers"),
        *(attack, daemon.url, f"{cookie.key}={cookie.value}"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert await process.stdout.readline() == b"attacking\n"
        await asyncio.sleep(1)  # for it to get going: what it does then shows nowhere at once
        yield attacker
        assert process.returncode is None, f"{attack} has ended"
        process.terminate()
        attacker.connections = int((await process.communicate())[0])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
