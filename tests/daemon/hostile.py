"""How a client fares while another one attacks."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.attackers import Attack, Target
from tests.daemon.driver import FETCH, Daemon

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
        await asyncio.sleep(every_s)
    return taken


async def under(daemon: Daemon, path: str, attack: Attack | None, *, times: int = 50) -> Fared:
    """Probe while an attack goes on, or none."""
    [cookie] = [one for one in daemon.client.cookie_jar if one.key == "session_id"]
    target = Target(daemon.url, f"{cookie.key}={cookie.value}")
    attacker = None if attack is None else asyncio.ensure_future(attack(target))
    try:
        await asyncio.sleep(0 if attacker is None else 1)  # for it to get going
        # The attacker shares this process; what it costs here is measured as the daemon's.
        taken = await probe(daemon, path, times=times)
        assert attacker is None or not attacker.done(), attacker
        descriptors = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
    finally:
        if attacker is not None:
            attacker.cancel()
            await asyncio.wait([attacker])
    return Fared(
        answered=len(taken),
        median_ms=statistics.median(taken),
        worst_ms=max(taken),
        peak_mib=daemon.memory_peak_mib(),
        descriptors=descriptors,
        attackers_connections=target.connected,
    )
