"""The use cases over real adapters and a hostile origin."""

import asyncio
import hashlib
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.database import open_database
from spsd.adapters.download_thread import ThreadedDownload
from spsd.adapters.http_origin import Limits, open_origin
from spsd.adapters.iso_image import IsoInspector
from spsd.adapters.job_repository import SqliteJobs
from spsd.adapters.loop_thread import open_loop_thread
from spsd.adapters.migrations import migrate
from spsd.adapters.origin_tls import Trust
from spsd.adapters.slot_directory import SlotDirectory
from spsd.adapters.staging import StagingDirectory
from spsd.domain.job import Job, JobKey
from spsd.domain.retry import RetryPolicy
from spsd.domain.spread import StartSpread
from spsd.services.download import Download
from spsd.services.pipeline import Pipeline
from spsd.services.progress import ProgressBoard
from spsd.services.reservations import Reservations
from spsd.testing.origin import Origin
from tests.iso import build_iso

BUDGET = 3
PATH = "/image.iso"
_trust = Trust.of("verify", None)


@dataclass
class Bench:
    pipeline: Pipeline
    download: Download
    root: Path
    content: bytes
    reservations: Reservations

    def __post_init__(self):
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.keys = itertools.count(1)

    async def queued(self, url, sha256=None):
        key = JobKey(f"job-{next(self.keys)}")
        job = Job.submitted(key, url, sha256 or self.sha256, now=100)
        await self.pipeline.jobs.add(job)
        return job

    async def claimed(self, url, sha256=None, *, slot=1):
        job = await self.queued(url, sha256)
        return await self.pipeline.jobs.move(job, job.start(slot, now=101))

    async def fetch(self, *acts, always=None, sha256=None, url=None, slot=1, **more):
        """Run one job against an origin with that script; gives the row and the requests."""
        async with Origin({PATH: self.content}, acts, always=always, **more) as origin:
            job = await self.claimed(url or origin.url(PATH), sha256, slot=slot)
            await self.pipeline.run(job)
            return await self.pipeline.jobs.get(job.key), origin.requests

    def installed(self, slot=1):
        return (self.root / "slots" / str(slot) / "image").read_bytes()

    def partials(self):
        return sorted(p.name for p in (self.root / "staging").iterdir())


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("iso") / "image.iso"
    payload = bytes(range(256)) * 400
    return build_iso(path, payload=payload, size=300_000).read_bytes()


@pytest.fixture
async def bench(tmp_path, content):
    async with open_bench(tmp_path, content) as made:
        yield made


@asynccontextmanager
async def open_bench(root, content):
    staging, slots = root / "staging", root / "slots"
    staging.mkdir(exist_ok=True)
    slots.mkdir(exist_ok=True)
    await asyncio.to_thread(migrate, root / "db")
    limits = Limits(
        connect_timeout_s=2, minimum_bytes_per_s=1000, stall_window_s=0.3, rate_limit_bytes_per_s=0
    )
    directory = SlotDirectory(slots, staging, count=2)
    async with (
        open_database(root / "db") as database,
        open_loop_thread("spsd-download") as thread,
        thread.entered(open_origin(AddressPolicy(["127.0.0.0/8"]), _trust, limits)) as origin,
    ):
        store = StagingDirectory(staging, boot="this")
        download = Download(origin, store, now=lambda: 1_700_000_000)
        yield Bench(
            Pipeline(
                jobs=SqliteJobs(database),
                staging=store,
                slots=directory,
                inspector=IsoInspector(staging, accept_any=False),
                download=ThreadedDownload(thread, origin, download),
                board=ProgressBoard(),
                retry=RetryPolicy(
                    budget=BUDGET, initial_s=0.001, limit_s=0.01, stall_floor=300, cut_floor=10
                ),
                spread=StartSpread("", 0.0),
                now=lambda: 200,
            ),
            download,
            root,
            content,
            Reservations(directory),
        )
