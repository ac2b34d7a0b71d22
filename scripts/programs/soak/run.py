"""Puts many small jobs through one daemon and prints what it holds meanwhile."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from testbed.soak import WARM_UP, slope, soaking, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever --jobs says")
    options = parser.parse_args()
    return asyncio.run(soak(options.jobs, options.minutes))


async def soak(jobs: int, minutes: float | None) -> int:
    until = time.monotonic() + minutes * 60 if minutes else None
    with tempfile.TemporaryDirectory(prefix="spsd-soak-") as root:
        async with soaking(Path(root)) as soak:
            await soak.run(WARM_UP)
            first = await soak.at_rest()
            soak.samples.clear()
            while soak.done < jobs and (until is None or time.monotonic() < until):
                await soak.run(min(500, jobs - soak.done))
                print(table(soak.samples[-1:]).splitlines()[-1], flush=True)
            last = await soak.at_rest()
    print(table([first, last]))
    for end, count in sorted(soak.ends.items()):
        print(f"  {count:6} {end}")
    for what in ("resident", "blocks"):
        print(
            f"{what}: {slope(soak.samples, what):+.1f} for each job, "
            f"over {len(soak.samples)} samples"
        )
    kept = all(
        getattr(last, what) <= getattr(first, what) for what in ("descriptors", "threads", "tasks")
    )
    print(
        f"tried: {soak.done:,} small jobs through one daemon; "
        f"{'nothing' if kept else 'SOMETHING'} of descriptors, threads and tasks is left"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
