"""Recovery: rows, partial files and slots agree after every kind of crash."""

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
    resources = bench.resources
    await recover(
        resources.jobs, resources.staging, resources.slots, budget=BUDGET, now=resources.now
    )


async def put(bench, digest, data=b"data"):
    async with bench.resources.staging.open(digest) as partial:
        await partial.append(data)
        await partial.seal()


async def installing(bench):
    job = await bench.claimed(URL)
    return await bench.resources.jobs.move(job, job.verified(4, "verified", now=102))


async def install(bench, job_key):
    await put(bench, bench.sha256)
    image = InstalledImage(bench.sha256, 4, ImageInfo("1"), job_key, 103)
    await bench.resources.slots.install(1, image, bench.sha256)


async def test_an_installed_image_finishes_its_installing_job(bench):
    job = await installing(bench)
    await install(bench, job.key)
    await run(bench)
    job = await bench.resources.jobs.get(job.key)
    assert (job.state, job.slot) == (JobState.FINISHED, 1)


async def test_the_partial_file_of_a_job_that_recovery_finishes_is_removed(bench):
    job = await installing(bench)
    await install(bench, job.key)
    await put(bench, bench.sha256)
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.FINISHED
    assert bench.partials() == []


async def test_an_image_finishes_no_job_whose_digest_was_not_verified(bench):
    job = await bench.claimed(URL)
    await install(bench, job.key)
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.QUEUED


async def test_an_interrupted_removal_of_an_image_is_completed(bench):
    trash = bench.root / "slots" / ".trash-x"
    trash.mkdir()
    (trash / "image").write_bytes(b"data")
    await run(bench)
    assert [path.name for path in (bench.root / "slots").iterdir()] == ["boot.json"]


async def test_the_image_of_another_job_does_not_finish_this_job(bench):
    job = await installing(bench)
    await install(bench, "another")
    await run(bench)
    assert (await bench.resources.jobs.get(job.key)).state is JobState.QUEUED


@pytest.mark.parametrize("make", [installing, lambda bench: bench.claimed(URL)])
async def test_an_active_job_is_queued_again_with_its_bytes(bench, make):
    job = await make(bench)
    await put(bench, bench.sha256)
    await run(bench)
    job = await bench.resources.jobs.get(job.key)
    assert (job.state, job.slot, job.spent) == (JobState.QUEUED, None, 1)
    assert bench.partials() == [bench.sha256]


async def test_a_job_that_crashes_the_daemon_too_often_fails(bench):
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


class PowerCut(BaseException):
    """No handler catches this."""


@dataclass
class CutAtDiscard:
    """A staging directory; the power fails when a file is to be removed from it."""

    staging: StagingDirectory

    def __getattr__(self, name):
        return getattr(self.staging, name)

    async def discard(self, key):
        raise PowerCut(key)


async def test_a_power_cut_before_a_removal_is_repaired_by_the_next_recovery(bench):
    job = await bench.queued(URL)
    await bench.resources.jobs.move(job, job.start(1, now=101))
    await put(bench, bench.sha256)
    resources = bench.resources
    staging = CutAtDiscard(resources.staging)
    with pytest.raises(PowerCut):
        await recover(resources.jobs, staging, resources.slots, budget=1, now=resources.now)
    await recover(resources.jobs, resources.staging, resources.slots, budget=1, now=resources.now)
    assert (await resources.jobs.get(job.key)).state is JobState.FAILED
    assert bench.partials() == []


async def test_partial_files_that_no_job_can_use_are_removed(bench):
    orphan, done = "1" * 64, "2" * 64
    for digest in (orphan, done, upload_key(uuid4()), bench.sha256):
        await put(bench, digest)
    await bench.queued(URL)
    job = Job.submitted(JobKey("cancelled"), URL, done, now=1)
    await bench.resources.jobs.add(job)
    await bench.resources.jobs.move(job, job.cancelled(job.progress, now=2))
    await run(bench)
    assert bench.partials() == [bench.sha256]
