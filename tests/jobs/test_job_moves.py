"""Each transition of a job, with every field of the row that it leads to."""

from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.failures import EXPLANATIONS, FailureCode, ImageError, JobError, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.transfer.ports import NO_PROGRESS, Progress

DIGEST = Sha256("ab" * 32)
SOME = Progress(7, 9)
CUT = OriginError(FailureCode.CUT_OFF, "cut", {"bytes": 7})
NO_SLOT = JobError(FailureCode.NO_SLOT, "none")
QUEUED = Job(
    key=JobKey("k"),
    url="http://x/y",
    sha256=DIGEST,
    state=JobState.QUEUED,
    cause=Trigger.SUBMIT,
    created_at=10,
    changed_at=10,
    mirrors=("http://m/y",),
)
DOWNLOADING = replace(
    QUEUED,
    state=JobState.DOWNLOADING,
    cause=Trigger.START,
    changed_at=11,
    attempt=1,
    spent=1,
    slot=2,
    started_at=11,
)
FAR = replace(DOWNLOADING, attempt=5, spent=3, progress=SOME, evidence="old")
INSTALLING = replace(
    DOWNLOADING,
    state=JobState.INSTALLING,
    cause=Trigger.VERIFY,
    changed_at=12,
    progress=Progress(9, 9),
    evidence="verified",
)


def test_a_new_job():
    job = Job.submitted(JobKey("k"), "http://x/y", DIGEST, mirrors=("http://m/y",), now=10)
    assert job == QUEUED
    assert (job.attempt, job.spent, job.slot, job.started_at) == (0, 0, None, None)
    assert (job.progress, job.error, job.evidence) == (Progress(0, 0), None, None)
    assert job.sources == ("http://x/y", "http://m/y")
    assert Job.submitted(JobKey("k"), "u", DIGEST, now=1).sources == ("u",)


def test_start_charges_an_attempt_and_only_the_first_sets_the_start_time():
    assert QUEUED.start(2, now=11) == DOWNLOADING
    again = replace(QUEUED, attempt=4, spent=2, started_at=11, evidence="old")
    assert again.start(None, now=20) == replace(
        DOWNLOADING, attempt=5, spent=3, slot=None, changed_at=20
    )


def test_progress_renews_the_budget():
    assert FAR.advanced(Progress(8, 9), now=12) == replace(
        FAR,
        cause=Trigger.PROGRESS,
        changed_at=12,
        spent=0,
        progress=Progress(8, 9),
        evidence=None,
    )


def test_found_finishes_the_job():
    assert DOWNLOADING.found(3, 9, now=12) == replace(
        DOWNLOADING,
        state=JobState.FINISHED,
        cause=Trigger.FOUND,
        changed_at=12,
        slot=3,
        progress=Progress(9, 9),
        evidence="slot 3 holds the image already",
    )


def test_verified_and_installed():
    assert DOWNLOADING.verified(9, "verified", now=12) == INSTALLING
    assert INSTALLING.installed(now=13) == replace(
        INSTALLING, state=JobState.FINISHED, cause=Trigger.INSTALL, changed_at=13, evidence=None
    )


@pytest.mark.parametrize(("gained", "spent"), [(False, 4), (True, 1)])
def test_a_transient_failure_keeps_the_slot(gained, spent):
    assert FAR.failed(CUT, Progress(8, 9), gained=gained, budget=4, now=12) == replace(
        FAR,
        cause=Trigger.FAIL,
        changed_at=12,
        attempt=6,
        spent=spent,
        progress=Progress(8, 9),
        evidence=CUT.sentence(),
    )


@pytest.mark.parametrize(
    ("before", "error", "budget", "last"),
    [
        (FAR, CUT, 3, " This was attempt 3 in a row without getting ahead."),
        (replace(FAR, spent=2), CUT, 1, " This was attempt 2 in a row without getting ahead."),
        (FAR, NO_SLOT, 9, ""),
    ],
)
def test_a_final_failure_releases_the_slot(before, error, budget, last):
    ended = before.failed(error, Progress(8, 9), gained=False, budget=budget, now=12)
    assert ended == replace(
        before,
        state=JobState.FAILED,
        cause=Trigger.FAIL,
        changed_at=12,
        slot=None,
        progress=Progress(8, 9),
        error=f"{error.sentence()}{last}",
        evidence=error.sentence(),
    )


def test_the_error_of_a_first_attempt_has_no_number_of_attempts():
    without_mirrors = replace(DOWNLOADING, mirrors=())
    assert without_mirrors.failed(CUT, SOME, gained=False, budget=1, now=12).error == CUT.sentence()
    gained = replace(without_mirrors, spent=5).failed(CUT, SOME, gained=True, budget=0, now=12)
    assert (gained.state, gained.spent) == (JobState.DOWNLOADING, 1)


def test_a_failed_installation_fails_the_job():
    error = ImageError(FailureCode.NOT_AN_IMAGE, "no ISO")
    ended = INSTALLING.failed(error, Progress(9, 9), gained=False, budget=9, now=13)
    assert (ended.state, ended.slot, ended.error) == (JobState.FAILED, None, error.sentence())


def test_cancelled_releases_the_slot():
    assert FAR.cancelled(Progress(8, 9), now=12) == replace(
        FAR,
        state=JobState.CANCELLED,
        cause=Trigger.CANCEL,
        changed_at=12,
        slot=None,
        progress=Progress(8, 9),
        evidence=None,
    )


@pytest.mark.parametrize("before", [FAR, INSTALLING])
def test_interrupted_and_queued_again(before):
    assert before.interrupted(budget=4, now=12) == replace(
        before,
        state=JobState.QUEUED,
        cause=Trigger.INTERRUPT,
        changed_at=12,
        slot=None,
        progress=NO_PROGRESS,
        evidence=None,
    )


@pytest.mark.parametrize(("spent", "budget"), [(3, 3), (2, 1), (3, 1)])
def test_interrupted_without_budget_fails_the_job(spent, budget):
    before = replace(FAR, spent=spent)
    assert before.interrupted(budget=budget, now=12) == replace(
        before,
        state=JobState.FAILED,
        cause=Trigger.INTERRUPT,
        changed_at=12,
        slot=None,
        error=f"gave_up: the daemon ended {spent} times in a row while it worked on this job. "
        + EXPLANATIONS[FailureCode.GAVE_UP].advice,
        evidence=None,
    )


@pytest.mark.parametrize(("spent", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_stop_refunds_the_attempt(spent, left):
    before = replace(FAR, spent=spent)
    assert before.stopped(now=12) == replace(
        before,
        state=JobState.QUEUED,
        cause=Trigger.STOP,
        changed_at=12,
        slot=None,
        spent=left,
        progress=NO_PROGRESS,
        evidence=None,
    )


def test_the_code_is_that_of_the_failure():
    assert QUEUED.code is None
    assert INSTALLING.code is None, "its evidence is not that of a failure"
    retried = DOWNLOADING.failed(CUT, SOME, gained=False, budget=9, now=12)
    assert (retried.state, retried.code) == (JobState.DOWNLOADING, FailureCode.CUT_OFF)
    ended = DOWNLOADING.failed(NO_SLOT, SOME, gained=False, budget=9, now=12)
    assert (ended.state, ended.code) == (JobState.FAILED, FailureCode.NO_SLOT)
    crashed = replace(DOWNLOADING, spent=9, mirrors=()).interrupted(budget=1, now=12)
    assert (crashed.state, crashed.code) == (JobState.FAILED, FailureCode.GAVE_UP)
    assert DOWNLOADING.cancelled(SOME, now=12).code is None
