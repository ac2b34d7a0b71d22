"""Each transition is logged once and counted; over a real database."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.jobs.log import JobLog
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.sqlite import SqliteJobs
from spsd.metrics import Metrics
from spsd.storage.database import open_database
from spsd.storage.migrations import migrate
from spsd.transfer.ports import Progress
from tests.samples import samples, value

FIELDS = ("job", "action", "state", "attempt", "code")
DNS = OriginError(FailureCode.DNS, "no such name")


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
async def jobs(tmp_path, metrics):
    path = tmp_path / "spsd.sqlite"
    await asyncio.to_thread(migrate, path)
    async with open_database(path) as database:
        yield SqliteJobs(database, observers=(metrics, JobLog()))


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "spsd")

    def logged():
        return [tuple(getattr(record, name, None) for name in FIELDS) for record in caplog.records]

    return logged


def counted(metrics, name):
    """The values that are not 0."""
    return {labels: count for labels, count in samples(metrics, name).items() if count}


def submitted(key="k", url="https://u:secret@host/a.iso?token=hidden#x"):
    return Job.submitted(JobKey(key), url, Sha256("a" * 64), now=100)


async def moved(jobs, before, after):
    result = await jobs.move(before, after)
    assert result is not None
    return result


async def test_each_transition_is_one_line(jobs, metrics, lines, caplog):
    job = submitted()
    await jobs.add(job)
    job = await moved(jobs, job, job.start(1, now=107))
    job = await moved(jobs, job, job.failed(DNS, Progress(5, 9), gained=False, budget=3, now=108))
    job = await moved(jobs, job, job.advanced(Progress(7, 9), now=109))
    full = ApplianceError(FailureCode.DISK_FULL, "no room")
    job = await moved(jobs, job, job.failed(full, Progress(), gained=False, budget=3, now=170))
    assert await jobs.remove(job)
    assert lines() == [
        ("k", "submit", "queued", 0, None),
        ("k", "start", "downloading", 1, None),
        ("k", "fail", "downloading", 2, "dns"),
        ("k", "progress", "downloading", 2, None),
        ("k", "fail", "failed", 2, "disk_full"),
        ("k", "remove", None, None, None),
    ]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "INFO", "WARNING", "INFO", "WARNING", "INFO"]
    assert "https://host/a.iso" in caplog.text
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text
    assert samples(metrics, "spsd_jobs") == {(state,): 0 for state in JobState}
    assert value(metrics, "spsd_queue_length") == 0
    assert counted(metrics, "spsd_job_retries_total") == {("dns",): 1}
    assert counted(metrics, "spsd_job_failures_total") == {("disk_full",): 1}
    assert value(metrics, "spsd_job_wait_seconds_sum") == 7
    assert value(metrics, "spsd_job_duration_seconds_sum", "failed") == 63
    assert counted(metrics, "spsd_job_duration_seconds_count") == {("failed",): 1}
    assert counted(metrics, "spsd_job_transitions_total") == {
        ("submit", "queued"): 1,
        ("start", "downloading"): 1,
        ("fail", "downloading"): 1,
        ("progress", "downloading"): 1,
        ("fail", "failed"): 1,
    }


async def test_an_interrupted_job_is_logged_as_a_warning(jobs, metrics, lines, caplog):
    job = submitted()
    await jobs.add(job)
    job = await moved(jobs, job, job.start(1, now=101))
    again = await moved(jobs, job, job.interrupted(budget=3, now=102))
    assert (again.state, again.code) == (JobState.QUEUED, None)
    job = await moved(jobs, again, again.start(1, now=103))
    await moved(jobs, job, replace(job, spent=9).interrupted(budget=3, now=104))
    assert lines()[2] == ("k", "interrupt", "queued", 1, None)
    assert lines()[4] == ("k", "interrupt", "failed", 2, "gave_up")
    assert [caplog.records[at].levelname for at in (2, 4)] == ["WARNING", "WARNING"]
    assert value(metrics, "spsd_jobs", "failed") == 1
    assert value(metrics, "spsd_job_failures_total", "gave_up") == 1
    assert value(metrics, "spsd_job_wait_seconds_count") == 1, "only the first start counts"


async def test_a_transition_that_lost_the_race_is_not_logged(jobs, metrics, lines):
    job = submitted()
    await jobs.add(job)
    await moved(jobs, job, job.cancelled(Progress(), now=103))
    assert await jobs.move(job, job.start(1, now=101)) is None
    assert not await jobs.remove(job)
    assert [line[1] for line in lines()] == ["submit", "cancel"]
    assert counted(metrics, "spsd_jobs") == {("cancelled",): 1}
    assert value(metrics, "spsd_queue_length") == 0
    assert value(metrics, "spsd_job_duration_seconds_count", "cancelled") == 1
    assert value(metrics, "spsd_job_duration_seconds_sum", "cancelled") == 0


async def test_a_clock_that_was_set_back_makes_no_negative_duration(jobs, metrics):
    job = submitted()
    await jobs.add(job)
    job = await moved(jobs, job, job.start(1, now=90))
    await moved(jobs, job, job.cancelled(Progress(), now=80))
    assert value(metrics, "spsd_job_wait_seconds_sum") == 0
    assert value(metrics, "spsd_job_wait_seconds_count") == 1
    assert value(metrics, "spsd_job_duration_seconds_sum", "cancelled") == 0
    assert value(metrics, "spsd_job_duration_seconds_count", "cancelled") == 1


async def test_observers_are_notified_of_a_cancelled_statement(jobs, metrics, lines):
    adding = asyncio.create_task(jobs.add(submitted()))
    await asyncio.sleep(0)
    adding.cancel()
    with suppress(asyncio.CancelledError):
        await adding
    held = await jobs.list()
    assert value(metrics, "spsd_jobs", "queued") == len(held) == len(lines())


async def test_the_counts_at_the_start_are_those_of_the_rows(jobs, metrics, tmp_path):
    for key in ("a", "b"):
        await jobs.add(submitted(key))
    [first, _] = await jobs.list()
    await moved(jobs, first, first.cancelled(Progress(), now=1))
    again = Metrics()
    async with open_database(tmp_path / "spsd.sqlite") as database:
        again.begin(await SqliteJobs(database).tally())
    assert samples(again, "spsd_jobs") == samples(metrics, "spsd_jobs")
    assert counted(again, "spsd_jobs") == {("queued",): 1, ("cancelled",): 1}
    assert value(again, "spsd_queue_length") == value(metrics, "spsd_queue_length") == 1


def test_bytes_already_on_disk_do_not_count_as_received():
    metrics = Metrics()
    board = ProgressBoard()
    board.subscribe(metrics)
    first, second = JobKey("first"), JobKey("second")
    board.post(first, Progress(1000, 5000))
    assert value(metrics, "spsd_received_bytes_total") == 0
    board.post(first, Progress(1500, 5000))
    board.post(second, Progress(0, 10))
    board.post(second, Progress(10, 10))
    assert value(metrics, "spsd_received_bytes_total") == 510
    board.post(first, Progress(0, 5000))  # the origin starts over
    board.post(first, Progress(200, 5000))
    assert value(metrics, "spsd_received_bytes_total") == 710
    board.clear(first)
    board.post(first, Progress(5000, 5000))
    assert value(metrics, "spsd_received_bytes_total") == 710
