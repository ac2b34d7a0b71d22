"""Attacks a daemon and prints how an honest client fares meanwhile."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from testbed.attackers import ATTACKS
from testbed.driver import FETCH, running
from testbed.hostile import Fared, under


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=50, help="of the honest client, per attack")
    parser.add_argument("--jobs", type=int, default=2000, help="in the list that attackers ask for")
    options = parser.parse_args()
    return asyncio.run(attack_all(options.requests, options.jobs))


async def attack_all(times: int, jobs: int) -> int:
    print("| attack | answered | median | worst | above idle's worst | ratio to idle | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="spsd-hostile-") as root:
        async with running(Path(root), fetch={"attempts": 1, "concurrent": 8}) as daemon:
            keys = [
                await daemon.submit("http://127.0.0.1:1/none", f"{number:064x}")
                for number in range(jobs)
            ]
            await daemon.over(keys[-1])
            path = f"{FETCH}/{keys[-1]}"
            idle = await under(daemon, path, None, times=times)
            print(row("none", idle, idle))
            within, answered = 0, 0
            for name in ATTACKS:
                fared = await under(daemon, path, name, times=times)
                within += fared.worst_ms - idle.worst_ms <= 100
                answered += fared.answered
                print(row(name, fared, idle), flush=True)
    print(
        f"tried: {len(ATTACKS)} attacks on the server, {answered:,} requests answered meanwhile; "
        f"under {within} of them the slowest within 100 ms of the slowest without"
    )
    return 0


def row(name: str, fared: Fared, idle: Fared) -> str:
    return (
        f"| {name} | {fared.answered} | {fared.median_ms:.1f} ms | {fared.worst_ms:.1f} ms "
        f"| {fared.worst_ms - idle.worst_ms:+.0f} ms | {fared.median_ms / idle.median_ms:.1f} "
        f"| {fared.peak_mib:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
