"""TODO."""

from dataclasses import dataclass
from uuid import uuid4

import pytest

from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.jobs.recovery import recover
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.transfer.ports import upload_key
from spsd.transfer.staging.directory import StagingDirectory

BUDGET = 3
URL = "http://x.example/y"


async def run(bench):
    with_ = bench.resources
    await recover(with_.jobs, with_.staging, with_.slots, budget=BUDGET, now=with_.now)


async def put(bench, digest, data=b"data"):
    async with bench.resources.staging.open(digest) as partial:
        await partial.append(data)
        await partial.seal()


async def installing(bench):
    job = await bench.claimed(URL)
    return await bench.resources.jobs.move(job, job.verified(4, "proof", now=102))


async def install(bench, job_key):
    await put(bench, bench.sha256)
    image = InstalledImage(bench.sha256, 4, ImageInfo("1"), job_key, 103)
    await bench.resources.slots.install(1, image, bench.sha256)


async def test_installed_but_not_said_so_is_finished(bench):
    job = await installing(bench)
    await install(bench, job.key)
    await run(bench)
    job = await bench.resources.jobs.get(job.key)
    assert (job.state, job.slot) == (JobState.FINISHED, 1)


async def test_what_is_recovered_as_finished_keeps_no_bytes(bench):
    job = await installing(bench)
    await install(bench, job.key)
    await put(bench, bench.sha256)
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.FINISHED
    assert bench.partials() == []


async def test_an_image_that_nobody_has_proven_finishes_no_job(bench):
    job = await bench.claimed(URL)
    await install(bench, job.key)
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.QUEUED


async def test_bytes_taken_out_of_a_slot_when_the_power_went_are_freed(bench):
    trash = bench.root / "slots" / ".trash-x"
    trash.mkdir()
    (trash / "image").write_bytes(b"data")
    await run(bench)
    assert [path.name for path in (bench.root / "slots").iterdir()] == ["boot.json"]


async def test_another_jobs_image_in_the_slot_is_not_ours(bench):
    job = await installing(bench)
    await install(bench, "another")
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.QUEUED


@pytest.mark.parametrize("make", [installing, lambda bench: bench.claimed(URL)])
async def test_what_was_under_way_is_queued_again_with_its_bytes(bench, make):
    job = await make(bench)
    await put(bench, bench.sha256)
    await run(bench)
    job = await bench.resources.jobs.get(job.key)
    assert (job.state, job.slot, job.spent) == (JobState.QUEUED, None, 1)
    assert bench.partials() == [bench.sha256]


async def test_who_crashes_the_daemon_too_often_is_given_up(bench):
    job = await bench.queued(URL)
    await put(bench, bench.sha256)
    for _ in range(BUDGET):
        assert job.state is JobState.QUEUED
        await bench.resources.jobs.move(job, job.start(1, now=101))
        await run(bench)
        job = await bench.resources.jobs.get(job.key)
    assert job.state is JobState.FAILED
    assert job.error.startswith("gave_up: ")
    assert bench.partials() == []


@dataclass
class CutAtDiscard:
    """The staging directory, and the power goes when something is to be removed from it."""

    staging: StagingDirectory

    def __getattr__(self, name):
        return getattr(self.staging, name)

    async def discard(self, key):
        raise ConnectionAbortedError(key)


async def test_a_cut_before_the_bytes_are_gone_is_made_up_for(bench):
    job = await bench.queued(URL)
    await bench.resources.jobs.move(job, job.start(1, now=101))
    await put(bench, bench.sha256)
    with_ = bench.resources
    staging = CutAtDiscard(with_.staging)
    with pytest.raises(ConnectionAbortedError):
        await recover(with_.jobs, staging, with_.slots, budget=1, now=with_.now)
    await recover(with_.jobs, with_.staging, with_.slots, budget=1, now=with_.now)
    assert (await with_.jobs.get(job.key)).state is JobState.FAILED
    assert bench.partials() == []


async def test_partials_that_nobody_wants_go(bench):
    orphan, done = "1" * 64, "2" * 64
    for digest in (orphan, done, upload_key(uuid4()), bench.sha256):
        await put(bench, digest)
    await bench.queued(URL)
    over = Job.submitted(JobKey("over"), URL, done, now=1)
    await bench.resources.jobs.add(over)
    await bench.resources.jobs.move(over, over.cancelled(over.progress, now=2))
    await run(bench)
    assert bench.partials() == [bench.sha256]
