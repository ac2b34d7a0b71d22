"""Attacks a daemon and prints the response times of an honest client during each attack."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from testbed.attackers import ATTACKS
from testbed.driver import FETCH, running
from testbed.hostile import Responsiveness, measure_under


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/hostile", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=50, help="requests of the honest client in each attack (50)"
    )
    parser.add_argument(
        "--jobs", type=int, default=2000, help="jobs in the list that attackers request (2000)"
    )
    options = parser.parse_args()
    return asyncio.run(attack_all(options.requests, options.jobs))


async def attack_all(times: int, jobs: int) -> int:
    """Run all attacks, one at a time, against one daemon; print a row for each."""
    print("| attack | responses | median | worst | worst - idle | median / idle | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="spsd-hostile-") as root:
        async with running(Path(root), fetch={"attempts": 1, "concurrent": 8}) as daemon:
            keys = [
                await daemon.submit("http://127.0.0.1:1/none", f"{number:064x}")
                for number in range(jobs)
            ]
            await daemon.over(keys[-1])
            path = f"{FETCH}/{keys[-1]}"
            idle = await measure_under(daemon, path, None, times=times)
            print(row("none", idle, idle))
            within, responses = 0, 0
            for name in ATTACKS:
                measured = await measure_under(daemon, path, name, times=times)
                within += measured.worst_ms - idle.worst_ms <= 100
                responses += measured.responses
                print(row(name, measured, idle), flush=True)
    print(
        f"tried: {len(ATTACKS)} attacks on the server, {responses:,} requests answered meanwhile; "
        f"in {within} of them the slowest response took at most 100 ms more than without attack"
    )
    return 0


def row(name: str, measured: Responsiveness, idle: Responsiveness) -> str:
    """A row of the table: one attack, compared with an idle server."""
    cells = (
        name,
        str(measured.responses),
        f"{measured.median_ms:.1f} ms",
        f"{measured.worst_ms:.1f} ms",
        f"{measured.worst_ms - idle.worst_ms:+.0f} ms",
        f"{measured.median_ms / idle.median_ms:.1f}",
        f"{measured.peak_mib:.0f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
