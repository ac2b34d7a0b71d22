"""Two thousand small jobs; `scripts/soak` puts ten thousand through, or as many as are wanted."""

import os
from pathlib import Path

import pytest

from spsd.accounts.argon2 import CONCURRENT_HASHES
from testbed.soak import WARM_UP, slope, soaking, table

JOBS = 2000
THREADS = 2 + 2 + CONCURRENT_HASHES + 2 * min(32, (os.cpu_count() or 1) + 4)
"""At rest: those of the two loops, the database's two, those of log-ins, and the pool of each loop:
it grows to its size when so many calls have been under way at once, and stays."""
WAL_BYTES = 8 * 2**20
"""SQLite writes the log from its start again at 4 MiB, once nobody reads behind it."""


@pytest.mark.timeout(300)
async def test_what_jobs_held_is_given_back(tmp_path: Path, tally) -> None:
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
    # Blocks, not resident memory, tell of a leak: what malloc keeps for itself goes up and down.
    # What a job leaves is dozens of them (its key, URL, digest, a task); two are noise.
    later = [one for one in soak.samples if one.jobs > 500]
    assert slope(later, "blocks") < 2
    assert last.resident < 150 * 2**20
    tally("small jobs through one daemon", soak.done)
