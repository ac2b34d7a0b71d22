"""Random origins: every job ends, with the right bytes or a failure code, within a byte budget.

A sequence is up to eight acts of any kind of the hostile origin, and then correct responses or one
act for ever. The objects and the windows are small, so that every rule is used.
The runs are real: sockets, files, a database. `scripts/test` does the first 300, `--all` 2,000, and
`--long` 10,000, in 75 s on two cores. SPSD_SEQUENCES=50000 does more, SPSD_FIRST_SEQUENCE=7 with
SPSD_SEQUENCES=1 the one that failed.

The byte budget: an origin sends at most one object per request, and there are at most
`most_requests` requests. If the origin only cuts connections in good order, it sends the bytes of
the image, and those that are compared because there is no validator: twice a window for each
request, and no byte with a strong ETag.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from spsd.clock import Clock
from spsd.daemon import open_daemon
from spsd.failures import FailureCode
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.jobs.run import JobRun, RunResources
from spsd.limits import Limits
from spsd.testing.origin import ACTS, Origin, Whole
from spsd.transfer.rules.messages import Windows
from testbed.daemons import APPLIANCE, prepare, settings
from testbed.memory import memory
from tests.faults.sequences import EXTRA, LARGEST, PATH, Sequence, sequence

COUNT = os.environ.get("SPSD_SEQUENCES")
MANY, LONG = 2000, 10_000
FIRST = int(os.environ.get("SPSD_FIRST_SEQUENCE", "0"))
SAMPLE = 300
LANES = 16
WINDOW = 64
BUDGET = 3
HANGS_AFTER_S = 30.0
REQUESTS = 5
"""The most requests of one attempt, redirects apart: tests/transfer/rules/test_resume.py."""
FETCH = {
    "concurrent": 0,
    "connections": 1,
    "connect_timeout_s": 5,
    "minimum_bytes_per_s": 500,
    "stall_window_s": 0.1,
    "attempts": BUDGET,
    "backoff_initial_s": 0.001,
    "backoff_limit_s": 0.002,
}
"""With `concurrent` 0 only the lanes of this test start jobs."""


@asynccontextmanager
async def open_pipeline() -> AsyncIterator[tuple[Path, RunResources]]:
    root = Path(tempfile.mkdtemp(dir=memory()))
    await prepare(root)
    opening = open_daemon(
        settings(root, slots={"count": LANES, "accept": "any"}, fetch=FETCH),
        appliance=APPLIANCE,
        clock=Clock(lambda: 0, lambda: 0.0),
        limits=Limits(windows=Windows(WINDOW, 4 * WINDOW), least_progress_bytes=WINDOW),
    )
    try:
        async with opening as daemon:
            yield root, daemon.resources
    finally:
        await asyncio.to_thread(shutil.rmtree, root)


def most_requests(seq: Sequence) -> int:
    """Each act of the script is for one request. After it, a good origin ends the run in one
    attempt and one clean retry. Another one ends it in one attempt, in a loop of redirects for
    example, or has to bring more than a floor of new bytes for each budget of attempts, twice."""
    if isinstance(seq.always, Whole):
        return len(seq.acts) + REQUESTS + 1
    budgets = 2 * ((LARGEST + EXTRA) // WINDOW + 1)
    return len(seq.acts) + budgets * BUDGET * REQUESTS


async def stalled(resources: RunResources, job: Job) -> bool:
    """Whether a stall ended an attempt, as on a busy machine; the bytes in transfer are lost."""
    steps = await resources.jobs.history(job.key)
    return any((step.evidence or "").startswith("stall: ") for step in steps)


async def run(resources: RunResources, root: Path, seq: Sequence, lane: int) -> str:
    origin = Origin({PATH: seq.content}, seq.acts, always=seq.always, etag=seq.etag)
    async with origin:
        job = Job.submitted(JobKey(f"job-{seq.number}"), origin.url(PATH), seq.sha256, now=0)
        await resources.jobs.add(job)
        job = await resources.jobs.move(job, job.start(lane, now=0))
        async with asyncio.timeout(HANGS_AFTER_S):
            await JobRun(job, resources).run()
        ended = await resources.jobs.get(job.key)
    assert len(origin.requests) <= most_requests(seq)
    assert origin.bytes_sent <= len(origin.requests) * (LARGEST + 2 * EXTRA)
    if seq.is_thrifty and not await stalled(resources, job):
        compared = 0 if seq.etag in (None, '"same"') else WINDOW * len(origin.requests)
        assert origin.bytes_sent <= len(seq.content) + compared
    if ended.state is JobState.FINISHED:
        assert (root / "slots" / str(lane) / "image").read_bytes() == seq.wanted
        await resources.slots.empty(lane)
        assert not (root / "staging" / seq.sha256).exists()
        return "finished"
    assert ended.state is JobState.FAILED
    await resources.staging.discard(seq.sha256)
    assert not seq.is_curable or f"attempt {BUDGET} in a row" in ended.error, ended.error
    code = FailureCode(ended.error.partition(":")[0])
    assert code not in {FailureCode.DISK, FailureCode.GAVE_UP, FailureCode.NO_SLOT}
    return code


async def run_all(numbers) -> Counter[str]:
    """Run the sequences in lanes with one slot each; an error names the sequence that failed."""
    left, ends = iter(numbers), Counter()

    async def work(lane):
        for number in left:
            seq = sequence(number)
            try:
                ends[await run(resources, root, seq, lane)] += 1
            except (AssertionError, TimeoutError) as error:
                error.add_note(str(seq))
                raise

    async with open_pipeline() as (root, resources), asyncio.TaskGroup() as lanes:
        for lane in range(1, LANES + 1):
            lanes.create_task(work(lane))
    return ends


def test_a_sequence_depends_only_on_its_number():
    assert sequence(7) == sequence(7)
    made = [sequence(number) for number in range(300)]
    assert {type(act) for seq in made for act in (*seq.acts, seq.always)} == set(ACTS)


async def test_a_sample_of_random_origins():
    ends = await run_all(range(SAMPLE))
    assert ends["finished"] > SAMPLE / 4


@pytest.mark.timeout(1200)
async def test_random_origins(tally, request):
    count = int(COUNT or (LONG if request.config.getoption("--long") else MANY))
    ends = await run_all(range(FIRST, FIRST + count))
    tally("random sequences of acts of an origin, each to a right end", ends.total())
    assert ends.total() == count
