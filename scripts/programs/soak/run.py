"""Runs many small jobs through one daemon and prints its resource usage meanwhile."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from testbed.soak import WARM_UP, slope, soaking, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="number of jobs (10000)")
    parser.add_argument("--minutes", type=float, help="stop after this time, also before --jobs")
    options = parser.parse_args()
    return asyncio.run(soak(options.jobs, options.minutes))


async def soak(jobs: int, minutes: float | None) -> int:
    """Run the jobs; gives the exit status: 1 if descriptors, threads or tasks grew."""
    ends_at = time.monotonic() + minutes * 60 if minutes else None
    with tempfile.TemporaryDirectory(prefix="spsd-soak-") as root:
        async with soaking(Path(root)) as soak:
            await soak.run(WARM_UP)
            first = await soak.at_rest()
            soak.samples.clear()
            while soak.done < jobs and (ends_at is None or time.monotonic() < ends_at):
                await soak.run(min(500, jobs - soak.done))
                print(table(soak.samples[-1:]).splitlines()[-1], flush=True)
            last = await soak.at_rest()
    print(table([first, last]))
    for end, count in sorted(soak.ends.items()):
        print(f"  {count:6} {end}")
    for attribute in ("resident", "blocks"):
        growth = slope(soak.samples, attribute)
        print(f"{attribute}: {growth:+.1f} for each job, over {len(soak.samples)} samples")
    grown = [
        name
        for name in ("descriptors", "threads", "tasks")
        if getattr(last, name) > getattr(first, name)
    ]
    print(
        f"tried: {soak.done:,} small jobs through one daemon; "
        f"leaks: {', '.join(grown) or 'no descriptors, threads or tasks'}"
    )
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
