"""Jobs as rows of a real database: guards, order, history."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.jobs.job import Job, JobKey, Selection, Step
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.sqlite import SqliteJobs, jobs_in
from spsd.storage.database import open_database
from spsd.storage.migrations import migrate
from spsd.transfer.ports import NO_PROGRESS, Progress

A, B = "a" * 64, "b" * 64


@pytest.fixture
async def database(tmp_path):
    await asyncio.to_thread(migrate, tmp_path / "db")
    async with open_database(tmp_path / "db") as opened:
        yield opened


@pytest.fixture
def jobs(database):
    return SqliteJobs(database)


async def added(jobs, key, digest=A):
    job = Job.submitted(JobKey(key), "http://x/y", digest, now=1)
    await jobs.add(job)
    return job


async def test_a_row_is_read_as_it_was_stored(jobs):
    job = await added(jobs, "k")
    assert await jobs.get(job.key) == job
    moved = await jobs.move(job, job.start(2, now=3).advanced(Progress(2**50, 2**51), now=4))
    assert await jobs.get(job.key) == moved
    assert list(await jobs.active()) == list(await jobs.list()) == [moved]
    assert await jobs.get(JobKey("none")) is None


async def test_every_column_is_read_as_a_transition_stored_it(jobs, database):
    job = await added(jobs, "k")
    started = job.start(2, now=3)
    assert await jobs.move(job, started) == started
    cut = OriginError(FailureCode.CUT_OFF, "cut", {"bytes": 5}, transient=False)
    failed = started.failed(cut, Progress(5, 9), gained=False, budget=1, now=4)
    assert None not in (failed.error, failed.evidence, failed.started_at)
    assert await jobs.move(started, failed) == failed
    assert await SqliteJobs(database).get(job.key) == failed


async def test_mirrors_keep_their_order(jobs):
    mirrors = ('http://ü/a?b="c"', "https://b/")
    job = Job.submitted(JobKey("k"), "http://x/y", A, mirrors=mirrors, now=1)
    await jobs.add(job)
    moved = await jobs.move(job, job.start(1, now=2))
    assert await jobs.get(job.key) == moved
    assert moved.sources == ("http://x/y", *mirrors)


async def test_a_transition_from_an_old_row_changes_nothing(jobs):
    job = await added(jobs, "k")
    started = await jobs.move(job, job.start(1, now=2))
    assert await jobs.move(job, job.cancelled(NO_PROGRESS, now=3)) is None
    assert await jobs.get(job.key) == started
    assert await jobs.remove(job) is False


@pytest.mark.parametrize("same", ["state", "attempt"])
async def test_the_guard_compares_the_state_and_the_attempt(jobs, same):
    job = await added(jobs, "k")
    before = await jobs.move(job, job.start(1, now=2))
    cut = OriginError(FailureCode.CUT_OFF, "cut")
    after = {
        "state": before.failed(cut, NO_PROGRESS, gained=False, budget=9, now=3),
        "attempt": before.verified(1, "verified", now=3),
    }[same]
    assert getattr(before, same) == getattr(after, same)
    now = await jobs.move(before, after)
    assert await jobs.move(before, before.cancelled(NO_PROGRESS, now=4)) is None
    assert await jobs.remove(before) is False
    assert await jobs.get(job.key) == now


async def test_a_transition_changes_no_other_row(jobs):
    first, second = await added(jobs, "1"), await added(jobs, "2", B)
    assert await jobs.move(first, gone := first.cancelled(NO_PROGRESS, now=2)) == gone
    assert list(await jobs.list()) == [gone, second]
    assert await jobs.remove(second) is True
    assert list(await jobs.list()) == [gone]


async def test_an_inconsistent_row_is_an_error_and_no_lost_race(jobs):
    job = await added(jobs, "k")
    with pytest.raises(sqlite3.IntegrityError):
        await jobs.move(job, replace(job.start(1, now=2), error="x"))
    assert await jobs.get(job.key) == job


async def test_rows_come_in_the_order_of_creation(jobs):
    keys = ["c", "a", "b"]
    made = [await added(jobs, key, f"{number:064x}") for number, key in enumerate(keys)]
    assert list(await jobs.list()) == made
    assert await jobs.next_queued(without=[]) == made[0]
    slots = [3, 1, 2]
    moved = [
        await jobs.move(job, job.start(slot, now=2))
        for job, slot in zip(reversed(made), slots, strict=True)
    ]
    assert list(await jobs.active()) == moved[::-1]


async def test_transitions_since_a_line_come_in_the_order_of_the_history(jobs):
    assert await jobs.last_transition() == 0
    first, second = await added(jobs, "a"), await added(jobs, "b", B)
    third = await added(jobs, "c")
    assert await jobs.last_transition() == 3
    first = await jobs.move(first, first.start(1, now=2))
    assert [(line.job, line.number) for line in await jobs.transitions_since(2)] == [
        (third, 3),
        (first, 4),
    ]
    logged = await jobs.transitions_since(3, also={second.key})
    assert [(line.job, line.number) for line in logged] == [(second, 2), (first, 4)]
    assert list(await jobs.transitions_since(4)) == []
    await jobs.remove(third)
    assert [line.job.key for line in await jobs.transitions_since(0)] == ["b", "a"]
    assert await jobs.last_transition() == 4


async def test_a_list_has_at_most_the_limit(jobs):
    for key in "abc":
        await added(jobs, key)
    two = await jobs.list(Selection(limit=2))
    assert [job.key for job in two] == ["a", "b"]
    assert [job.key for job in await jobs.list(Selection(after=two[-1].key, limit=2))] == ["c"]


async def test_many_rows_are_listed_like_few(jobs):
    rows = [await added(jobs, f"{number:03}") for number in range(150)]
    assert list(await jobs.list()) == rows


@pytest.mark.parametrize(("digest", "slot"), [(A, 2), (B, 1)])
async def test_a_digest_and_a_slot_have_one_active_job(jobs, digest, slot):
    first, second = await added(jobs, "1"), await added(jobs, "2", digest)
    await jobs.move(first, first.start(1, now=2))
    assert await jobs.move(second, second.start(slot, now=2)) is None
    assert await jobs.get(second.key) == second


async def test_of_two_simultaneous_transitions_one_wins(jobs):
    job = await added(jobs, "k")
    ends = await asyncio.gather(
        jobs.move(job, job.start(1, now=2)), jobs.move(job, job.cancelled(NO_PROGRESS, now=2))
    )
    (winner,) = [end for end in ends if end is not None]
    assert await jobs.get(job.key) == winner


async def test_a_cancelled_transition_is_stored_completely_or_not_at_all(jobs):
    for number in range(10):
        job = await added(jobs, str(number), f"{number:064x}")
        task = asyncio.create_task(jobs.move(job, job.cancelled(NO_PROGRESS, now=2)))
        for _ in range(number % 3):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        row = await jobs.get(job.key)
        assert row in (job, job.cancelled(NO_PROGRESS, now=2))


async def test_each_transition_is_a_line_of_history_and_is_removed_with_the_row(jobs, database):
    job = await added(jobs, "k")
    job = await jobs.move(job, job.start(1, now=2))
    job = await jobs.move(job, job.cancelled(NO_PROGRESS, now=3))
    lines = await database.rows("SELECT at, cause, state, attempt FROM job_history ORDER BY id")
    assert [tuple(line) for line in lines] == [
        (1, "submit", "queued", 0),
        (2, "start", "downloading", 1),
        (3, "cancel", "cancelled", 1),
    ]
    assert await jobs.remove(job) is True
    assert await database.rows("SELECT * FROM job_history") == []


async def test_a_history_is_of_one_job_and_oldest_first(jobs):
    job, other = await added(jobs, "k"), await added(jobs, "other", B)
    job = await jobs.move(job, job.start(1, now=2))
    other = await jobs.move(other, other.cancelled(NO_PROGRESS, now=3))
    job = await jobs.move(job, job.verified(7, "verified", now=4))
    assert list(await jobs.history(job.key)) == [
        Step(1, Trigger.SUBMIT, JobState.QUEUED, 0, None),
        Step(2, Trigger.START, JobState.DOWNLOADING, 1, None),
        Step(4, Trigger.VERIFY, JobState.INSTALLING, 1, "verified"),
    ]
    for line in await jobs.history(job.key):
        assert (type(line.cause), type(line.state)) == (Trigger, JobState)
    assert list(await jobs.history(JobKey("none"))) == []


async def test_the_oldest_queued_is_next(jobs):
    first, second = await added(jobs, "1", A), await added(jobs, "2", B)
    assert await jobs.next_queued(without=[]) == first
    assert await jobs.next_queued(without=[A]) == second
    assert await jobs.next_queued(without=[A, B]) is None


async def test_finished_and_cancelled_jobs_need_no_partial_file(jobs):
    job, other = await added(jobs, "1", A), await added(jobs, "2", B)
    assert set(await jobs.resumable_digests()) == {A, B}
    await jobs.move(job, job.cancelled(NO_PROGRESS, now=2))
    assert set(await jobs.resumable_digests()) == {B}
    assert other.state is JobState.QUEUED


async def test_the_partial_file_of_a_failed_job_is_kept_for_the_next(jobs):
    job = await added(jobs, "k")
    job = await jobs.move(job, job.start(1, now=2))
    error = OriginError(FailureCode.ORIGIN_STATUS, "404", transient=False)
    job = await jobs.move(job, job.failed(error, NO_PROGRESS, gained=False, budget=9, now=3))
    assert job.state is JobState.FAILED
    assert set(await jobs.resumable_digests()) == {A}


async def test_the_database_itself_refuses_an_error_without_failure(database, jobs):
    await added(jobs, "k")
    with pytest.raises(sqlite3.IntegrityError):
        await database.rows("UPDATE job SET error = 'x'")


async def test_rows_can_be_read_without_the_daemon_in_their_order(jobs, tmp_path):
    made = [await added(jobs, key, f"{number:064x}") for number, key in enumerate("cab")]

    def rows():
        with closing(sqlite3.connect(tmp_path / "db")) as connection:
            return list(jobs_in(connection))

    assert await asyncio.to_thread(rows) == made


async def test_the_tally_is_by_state(jobs):
    assert await jobs.tally() == {}
    job, _, _ = [await added(jobs, key, f"{number:064x}") for number, key in enumerate("abc")]
    await jobs.move(job, job.start(1, now=2))
    assert await jobs.tally() == {JobState.QUEUED: 2, JobState.DOWNLOADING: 1}
