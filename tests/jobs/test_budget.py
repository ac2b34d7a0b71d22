"""The budget of attempts, against origins that interrupt every response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from spsd.digest import Sha256
from spsd.failures import FailureCode, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.run import JobRun, RunResources
from spsd.jobs.sqlite import SqliteJobs
from spsd.jobs.start_spread import StartSpread
from spsd.slots.directory import SlotDirectory
from spsd.slots.model import ImageInfo
from spsd.storage.database import open_database
from spsd.storage.migrations import migrate
from spsd.testing.origin import CutAfter, Origin
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.ports import StagingKey
from spsd.transfer.rules.messages import RangeRequest
from spsd.transfer.rules.retry import RetryPolicy
from spsd.transfer.staging.directory import StagingDirectory
from tests.bench import PATH
from tests.transfer.scripted import ScriptedOrigin

BUDGET = 3
MIB = 1024 * 1024
SYNC_WINDOW = 8 * MIB


class StartsOver(ScriptedOrigin):
    """Ignores ranges and interrupts each response, after two sync windows and after one in turn."""

    def __init__(self) -> None:
        super().__init__(content_length=str(4 * SYNC_WINDOW))
        self.requests = 0

    @asynccontextmanager
    async def open(self, url: str, request: RangeRequest) -> AsyncIterator[Self]:
        self.requests += 1
        async with super().open(url, request):
            yield self

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        assert self.requests < 20, "the job makes attempts without end"
        windows = 1 + self.requests % 2
        for _ in range(windows * SYNC_WINDOW // MIB + 2):
            yield bytes(MIB)
        raise OriginError(FailureCode.CUT_OFF, "broken off")


class NoInspector:
    async def inspect(self, key: StagingKey) -> ImageInfo:
        raise AssertionError("no image is verified in this test")


async def test_bytes_received_again_do_not_refund_the_budget(tmp_path: Path) -> None:
    await asyncio.to_thread(migrate, tmp_path / "db")
    for name in ("staging", "slots"):
        (tmp_path / name).mkdir()
    origin = StartsOver()
    staging = StagingDirectory(tmp_path / "staging", boot="this boot", sync_window=SYNC_WINDOW)
    async with open_database(tmp_path / "db") as database:
        jobs = SqliteJobs(database)
        resources = RunResources(
            jobs=jobs,
            staging=staging,
            slots=SlotDirectory(tmp_path / "slots", tmp_path / "staging", count=1),
            inspector=NoInspector(),
            attempts=LocalAttempts(origin, staging, now=lambda: 0),
            board=ProgressBoard(),
            retry=RetryPolicy(budget=BUDGET, initial_s=0, limit_s=0, stall_floor=0),
            spread=StartSpread("", 0.0),
            now=lambda: 0,
        )
        job = Job.submitted(JobKey("k"), "http://origin.example/a", Sha256("a" * 64), now=0)
        await jobs.add(job)
        claimed = await jobs.move(job, job.start(1, now=0))
        assert claimed is not None
        await JobRun(claimed, resources).run()
        ended = await jobs.get(JobKey("k"))
    assert ended is not None
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.startswith("cut_off: ")
    # The first attempt brought new bytes and refunded itself.
    assert origin.requests == BUDGET + 1


async def test_short_connections_finish_the_job_without_a_validator(bench):
    """The overlap to compare becomes smaller when a connection has brought no new byte."""
    async with Origin({PATH: bench.content}, always=CutAfter(30_000), validators=False) as origin:
        job = await bench.claimed(origin.url(PATH))
        await JobRun(job, bench.resources).run()
    row = await bench.resources.jobs.get(job.key)
    assert row.state is JobState.FINISHED, row.error
    assert bench.installed() == bench.content
