"""Attacks a daemon and prints the response times of an honest client during each attack."""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbed.attackers import ATTACKERS_ADDRESS
from testbed.driver import FETCH, running
from testbed.hostile import WATCHDOG_S, Responsiveness, attacks, measure_under, watching


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/hostile", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=50, help="requests of the honest client in each attack (50)"
    )
    parser.add_argument(
        "--source",
        default=ATTACKERS_ADDRESS,
        help="address of the attackers (%(default)s; that of the honest client is 127.0.0.1)",
    )
    parser.add_argument("--only", help="only the attacks whose names contain this")
    parser.add_argument(
        "--jobs", type=int, default=2000, help="jobs in the list that attackers request (2000)"
    )
    options = parser.parse_args()
    totals = Totals()
    for tls in (False, True):
        asyncio.run(attack_all(options, totals, tls=tls))
    print(
        f"tried: {totals.attacks} attacks on the server, {totals.responses:,} requests answered "
        f"meanwhile; in {totals.within} of them the slowest response took at most 100 ms more than "
        "without attack"
    )
    return 0


COLUMNS = (
    *("responses", "median", "p99", "worst", "worst - idle", "p99 / idle"),
    *("peak MiB", "MiB after", "descriptors", "threads"),
)


@dataclass
class Totals:
    """The sums of both tables."""

    attacks: int = 0
    responses: int = 0
    within: int = 0


async def attack_all(options: argparse.Namespace, totals: Totals, *, tls: bool) -> None:
    """Run all attacks, one at a time, against one daemon; print a row for each."""
    times, jobs = options.requests, options.jobs
    print(f"\n| attack over {'TLS' if tls else 'plain HTTP'} | {' | '.join(COLUMNS)} |")
    print(f"|---|{'---:|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory(prefix="spsd-hostile-") as root:
        async with (
            watching(Path(root)) as watchdog,
            running(
                Path(root),
                tls=tls,
                environ=watchdog.environ(),
                fetch={"attempts": 1, "concurrent": 8},
            ) as daemon,
        ):
            keys = [
                await daemon.submit("http://127.0.0.1:1/none", f"{number:064x}")
                for number in range(jobs)
            ]
            await daemon.over(keys[-1])
            path = f"{FETCH}/{keys[-1]}"
            idle = await measure_under(daemon, path, None, times=times)
            print(row("none", idle, idle, daemon.memory_mib()))
            for name in attacks(tls=tls):
                if options.only is not None and options.only not in name:
                    continue
                measured = await measure_under(
                    daemon, path, name, times=times, source=options.source
                )
                totals.attacks += 1
                totals.within += measured.worst_ms - idle.worst_ms <= 100
                totals.responses += measured.responses
                print(row(name, measured, idle, daemon.memory_mib()), flush=True)
            print(
                f"longest time between two messages to the watchdog: "
                f"{watchdog.longest_gap_s():.1f} s, of {WATCHDOG_S:.0f} s allowed"
            )


def row(name: str, measured: Responsiveness, idle: Responsiveness, after_mib: float) -> str:
    """A row of the table: one attack, compared with an idle server."""
    cells = (
        name,
        str(measured.responses),
        f"{measured.median_ms:.1f} ms",
        f"{measured.p99_ms:.1f} ms",
        f"{measured.worst_ms:.1f} ms",
        f"{measured.worst_ms - idle.worst_ms:+.0f} ms",
        f"{measured.p99_ms / idle.p99_ms:.1f}",
        f"{measured.peak_mib:.0f}",
        f"{after_mib:.0f}",
        str(measured.descriptors),
        str(measured.threads),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
