"""Rows that are moved are logged once each, and counted; over a real database."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.log import JobLog
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.sqlite import SqliteJobs
from spsd.metrics import Meter
from spsd.storage.database import open_database
from spsd.storage.migrations import migrate
from spsd.transfer.ports import Progress

TOLD = ("job", "action", "state", "attempt", "code")
DNS = OriginError(FailureCode.DNS, "no such name")


@pytest.fixture
def meter():
    return Meter()


@pytest.fixture
async def jobs(tmp_path, meter):
    path = tmp_path / "spsd.sqlite"
    await asyncio.to_thread(migrate, path)
    async with open_database(path) as database:
        yield SqliteJobs(database, observers=(meter, JobLog()))


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "spsd")

    def told():
        return [tuple(getattr(one, name, None) for name in TOLD) for one in caplog.records]

    return told


def submitted(key="k", url="https://u:secret@host/a.iso?token=hidden#x"):
    return Job.submitted(JobKey(key), url, Sha256("a" * 64), now=100)


async def moved(jobs, before, after):
    result = await jobs.move(before, after)
    assert result is not None
    return result


async def test_each_transition_is_one_line(jobs, meter, lines, caplog):
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
    warned = [one.levelname for one in caplog.records]
    assert warned == ["INFO", "INFO", "WARNING", "INFO", "WARNING", "INFO"]
    assert "https://host/a.iso" in caplog.text
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text
    assert dict(meter.jobs) == dict.fromkeys(JobState, 0)
    assert [code for code, count in meter.retries.items() if count] == ["dns"]
    assert [code for code, count in meter.failures.items() if count] == ["disk_full"]
    assert meter.waits.observed().sum == 7
    assert meter.durations[JobState.FAILED].observed().sum == 63
    assert sum(meter.transitions.values()) == 5


async def test_what_the_last_daemon_left_is_a_warning(jobs, meter, lines, caplog):
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
    assert meter.jobs[JobState.FAILED] == meter.failures[FailureCode.GAVE_UP] == 1
    assert meter.waits.observed().counts[0] == 1, "the wait for the first start counts alone"


async def test_a_move_that_came_too_late_is_no_line(jobs, meter, lines):
    job = submitted()
    await jobs.add(job)
    await moved(jobs, job, job.cancelled(Progress(), now=103))
    assert await jobs.move(job, job.start(1, now=101)) is None
    assert not await jobs.remove(job)
    assert [line[1] for line in lines()] == ["submit", "cancel"]
    assert meter.jobs[JobState.CANCELLED] == 1
    assert meter.jobs[JobState.QUEUED] == 0
    assert meter.durations[JobState.CANCELLED].observed().sum == 0


async def test_a_cancelled_statement_is_noted_all_the_same(jobs, meter, lines):
    adding = asyncio.create_task(jobs.add(submitted()))
    await asyncio.sleep(0)
    adding.cancel()
    with suppress(asyncio.CancelledError):
        await adding
    held = await jobs.list()
    assert meter.jobs[JobState.QUEUED] == len(held) == len(lines())


async def test_the_count_of_the_start_is_that_of_the_rows(jobs, meter, tmp_path):
    for key in ("a", "b"):
        await jobs.add(submitted(key))
    [first, _] = await jobs.list()
    await moved(jobs, first, first.cancelled(Progress(), now=1))
    again = Meter()
    async with open_database(tmp_path / "spsd.sqlite") as database:
        again.begin(await SqliteJobs(database).tally())
    assert again.jobs == meter.jobs
    assert again.jobs[JobState.QUEUED] == again.jobs[JobState.CANCELLED] == 1


def test_bytes_that_were_there_are_not_received():
    meter = Meter()
    board = ProgressBoard()
    board.subscribe(meter)
    one, other = JobKey("one"), JobKey("other")
    board.post(one, Progress(1000, 5000))
    assert meter.received_bytes == 0
    board.post(one, Progress(1500, 5000))
    board.post(other, Progress(0, 10))
    board.post(other, Progress(10, 10))
    assert meter.received_bytes == 510
    board.post(one, Progress(0, 5000))  # the origin starts over
    board.post(one, Progress(200, 5000))
    assert meter.received_bytes == 710
    board.clear(one)
    board.post(one, Progress(5000, 5000))
    assert meter.received_bytes == 710
    assert meter.receive_rate > 0


def test_every_cause_is_there_from_the_start():
    assert {cause for cause, _ in Meter().transitions} == set(Trigger)
