"""Sequences of transitions of one job: each row that they lead to makes sense."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.digest import Sha256
from spsd.failures import EXPLANATIONS, FailureCode, JobError, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import ACTIVE, TERMINAL, IllegalTransitionError, JobState, Trigger
from spsd.storage.migrations import migrations_directory
from spsd.transfer.ports import NO_PROGRESS, Progress

BUDGET = 4
DIGEST = Sha256("ab" * 32)
NAMES = ("start", "advanced", "found", "verified", "installed", "failed", "cancelled")
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*NAMES, "interrupted", "stopped")),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2**40),
    ),
    max_size=40,
)


def submitted():
    return Job.submitted(JobKey("k"), "http://x/y", DIGEST, now=10)


def step(job, name, *, transient, gained, size, now):
    match name:
        case "start":
            return job.start(2 if gained else None, now=now)
        case "advanced":
            return job.advanced(Progress(size, size), now=now)
        case "found":
            return job.found(3, size, now=now)
        case "verified":
            return job.verified(size, "verified", now=now)
        case "installed":
            return job.installed(now=now)
        case "failed":
            error = OriginError(FailureCode.CUT_OFF, "cut", transient=transient)
            return job.failed(error, Progress(size, size), gained=gained, budget=BUDGET, now=now)
        case "cancelled":
            return job.cancelled(Progress(size, 0), now=now)
        case "interrupted":
            return job.interrupted(budget=BUDGET, now=now)
        case _:
            return job.stopped(now=now)


@given(STEPS)
def test_every_sequence_of_transitions_gives_consistent_rows(steps):
    job, now = submitted(), 10
    for name, transient, gained, size in steps:
        now += 1
        before = job
        try:
            job = step(before, name, transient=transient, gained=gained, size=size, now=now)
        except IllegalTransitionError:
            assert job is before
            continue
        assert before.state not in TERMINAL, "a terminal state has no transition"
        assert job.attempt >= before.attempt
        assert 0 <= job.spent <= BUDGET
        assert job.changed_at == now
        assert (job.key, job.url, job.sha256, job.created_at) == ("k", "http://x/y", DIGEST, 10)
        assert (job.error is not None) == (job.state is JobState.FAILED)
        if job.state in {JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}:
            assert job.slot is None
        if before.started_at is not None:
            assert job.started_at == before.started_at
        if job.state is JobState.QUEUED:
            assert job.progress == NO_PROGRESS


def test_an_image_that_crashes_the_daemon_is_not_tried_forever():
    job = submitted()
    for _ in range(BUDGET):
        job = job.start(1, now=11).interrupted(budget=BUDGET, now=12)
    assert job.state is JobState.FAILED
    assert job.attempt == BUDGET
    assert job.error.startswith("gave_up: the daemon ended 4 times in a row")


def test_new_bytes_refund_the_budget():
    job = submitted().start(1, now=11)
    cut = OriginError(FailureCode.CUT_OFF, "cut")
    for _ in range(3 * BUDGET):
        job = job.failed(cut, NO_PROGRESS, gained=True, budget=BUDGET, now=12)
    assert (job.state, job.spent, job.attempt) == (JobState.DOWNLOADING, 1, 3 * BUDGET + 1)
    job = job.advanced(Progress(1, 2), now=13)
    assert (job.spent, job.progress) == (0, Progress(1, 2))


def test_the_error_of_the_last_attempt_has_the_number_of_attempts():
    job = submitted().start(1, now=11)
    cut = OriginError(FailureCode.CUT_OFF, "cut", {"bytes": 7})
    for number in range(1, BUDGET + 1):
        assert job.spent == number
        job = job.failed(cut, Progress(7, 9), gained=False, budget=BUDGET, now=12)
    assert job.state is JobState.FAILED
    assert (job.attempt, job.slot, job.progress) == (BUDGET, None, Progress(7, 9))
    advice = EXPLANATIONS[FailureCode.CUT_OFF].advice
    last = "This was attempt 4 in a row without getting ahead."
    assert job.error == f"cut_off: cut (bytes 7). {advice} {last}"


def test_a_permanent_error_fails_the_job_at_once():
    error = JobError(FailureCode.NO_SLOT, "none")
    job = submitted().start(None, now=11)
    job = job.failed(error, NO_PROGRESS, gained=False, budget=BUDGET, now=12)
    assert job.error == error.sentence()
    assert job.cause is Trigger.FAIL


def test_a_stop_refunds_the_attempt_but_keeps_its_number():
    job = submitted().start(1, now=11).stopped(now=12)
    assert (job.state, job.attempt, job.spent, job.slot) == (JobState.QUEUED, 1, 0, None)


def test_found_and_verified_set_the_progress_to_the_size():
    started = submitted().start(1, now=11)
    found = started.found(3, 99, now=12)
    assert (found.state, found.slot, found.progress) == (JobState.FINISHED, 3, Progress(99, 99))
    verified = started.verified(99, "status 200", now=12)
    assert (verified.slot, verified.evidence) == (1, "status 200")
    assert verified.installed(now=13).slot == 1


def test_the_database_schema_has_the_same_states():
    text = "".join(path.read_text() for path in sorted(migrations_directory().glob("*.sql")))
    check = re.search(r"CHECK \(state IN\s*\(([^)]*)\)\)", text)
    assert set(re.findall(r"'(\w+)'", check[1])) == set(JobState)
    for states in re.findall(r"ON job \(\w+\) WHERE state IN \(([^)]*)\)", text):
        assert set(re.findall(r"'(\w+)'", states)) == ACTIVE


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_is_explained(code):
    sentence = JobError(code, "what", {"a": 1, "b": "x"}).sentence()
    assert sentence == f"{code}: what (a 1, b x). {EXPLANATIONS[code].advice}"
    assert EXPLANATIONS[code].advice.endswith(".")
