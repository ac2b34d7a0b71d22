"""Two thousand small jobs; `scripts/soak` runs ten thousand, or another number."""

import os
from pathlib import Path

import pytest

from spsd.accounts.argon2 import CONCURRENT_HASHES
from testbed.soak import WARM_UP, slope, soaking, table

JOBS = 2000
THREADS = 2 + 2 + CONCURRENT_HASHES + 2 * min(32, (os.cpu_count() or 1) + 4)
"""Most threads at rest: two loops, two database connections, log-ins, and the thread pool of each
loop, which grows with simultaneous calls and does not shrink."""
WAL_BYTES = 8 * 2**20
"""SQLite reuses the log from its start at 4 MiB, once no connection reads an older part."""


@pytest.mark.timeout(300)
async def test_jobs_leave_no_resources_behind(tmp_path: Path, tally) -> None:
    async with soaking(tmp_path) as soak:
        await soak.run(WARM_UP)
        first = await soak.at_rest()
        await soak.run(JOBS - WARM_UP)
        last = await soak.at_rest()
        print(table([first, *soak.samples, last]))
        assert soak.daemon.staged() == []
        _, listed = await soak.daemon.call("GET", "/api/firmware/fetch")
    assert listed["items"] == []
    assert sum(soak.ends.values()) == JOBS
    assert {end.split(": ")[1] for end in soak.ends} >= {"finished", "failed", "cancelled"}
    assert last.descriptors == first.descriptors
    assert last.tasks == first.tasks
    assert last.threads <= THREADS
    assert last.wal <= WAL_BYTES
    # Allocated blocks show a leak; resident memory does not, since malloc keeps free memory. A job
    # that is not released leaves dozens of blocks (its key, URL, digest, a task); two are noise.
    later = [sample for sample in soak.samples if sample.jobs > 500]
    assert slope(later, "blocks") < 2
    assert last.resident < 150 * 2**20
    tally("small jobs through one daemon", soak.done)
