"""A workbench for use cases: the objects of a whole daemon over real adapters, and an origin."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.clock import Clock
from spsd.daemon import open_daemon
from spsd.jobs.job import Job, JobKey
from spsd.jobs.run import JobRun, RunResources
from spsd.limits import Limits
from spsd.slots.reservations import Reservations
from spsd.storage.database import Database
from spsd.testing.origin import Origin
from spsd.transfer.attempt import LocalAttempts
from testbed.daemons import APPLIANCE, prepare, settings
from testbed.iso import build_iso

BUDGET = 3
PATH = "/image.iso"
FETCH = {
    "concurrent": 0,
    "connections": 1,
    "connect_timeout_s": 2,
    "minimum_bytes_per_s": 1000,
    "stall_window_s": 0.3,
    "attempts": BUDGET,
    "backoff_initial_s": 0.001,
    "backoff_limit_s": 0.01,
}
"""With ``concurrent`` 0 the scheduler starts no job: a test starts each of its jobs itself."""


@dataclass
class Bench:
    """The parts of a daemon that a test of one job uses, and methods that run jobs."""

    resources: RunResources
    local_attempts: LocalAttempts
    root: Path
    content: bytes
    reservations: Reservations
    database: Database

    def __post_init__(self):
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.keys = itertools.count(1)

    async def queued(self, url, sha256=None):
        """Add a queued job; ``sha256`` None: that of the content."""
        key = JobKey(f"job-{next(self.keys)}")
        job = Job.submitted(key, url, sha256 or self.sha256, now=100)
        await self.resources.jobs.add(job)
        return job

    async def claimed(self, url, sha256=None, *, slot=1):
        """Add a job and start its first attempt; gives the job in state downloading."""
        job = await self.queued(url, sha256)
        return await self.resources.jobs.move(job, job.start(slot, now=101))

    async def work_on(self, job, resources=None, *, slot=1):
        """Start the attempt of a queued job and run it to its end."""
        resources = resources or self.resources
        claimed = await resources.jobs.move(job, job.start(slot, now=101))
        await JobRun(claimed, resources).run()

    async def fetch(self, *acts, always=None, sha256=None, url=None, slot=1, **more):
        """Run one job against an origin that plays ``acts``; gives the job and the requests."""
        async with Origin({PATH: self.content}, acts, always=always, **more) as origin:
            job = await self.claimed(url or origin.url(PATH), sha256, slot=slot)
            await JobRun(job, self.resources).run()
            return await self.resources.jobs.get(job.key), origin.requests

    def installed(self, slot=1):
        """The bytes of the image in a slot."""
        return (self.root / "slots" / str(slot) / "image").read_bytes()

    def partials(self):
        """The names of the partial downloads in the staging directory, sorted."""
        return sorted(p.name for p in (self.root / "staging").iterdir())


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("iso") / "image.iso"
    payload = bytes(range(256)) * 400
    return build_iso(path, payload=payload, size=300_000).read_bytes()


@pytest.fixture
async def bench(tmp_path, content):
    async with open_bench(tmp_path, content) as opened:
        yield opened


@asynccontextmanager
async def open_bench(root: Path, content: bytes) -> AsyncIterator[Bench]:
    """Open the daemon's objects with a clock that stands still at 200."""
    await prepare(root)
    opening = open_daemon(
        settings(root, slots={"count": 2}, fetch=FETCH),
        appliance=APPLIANCE,
        clock=Clock(lambda: 200, lambda: 200.0),
        limits=Limits(least_progress_bytes=10),
    )
    async with opening as daemon:
        yield Bench(
            daemon.resources,
            daemon.adapters.local_attempts,
            root,
            content,
            daemon.reservations,
            daemon.adapters.database,
        )
