"""Each move of a job, with every field of the row that it makes."""

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
    evidence="proof",
)


def test_a_new_job():
    made = Job.submitted(JobKey("k"), "http://x/y", DIGEST, mirrors=("http://m/y",), now=10)
    assert made == QUEUED
    assert (made.attempt, made.spent, made.slot, made.started_at) == (0, 0, None, None)
    assert (made.progress, made.error, made.evidence) == (Progress(0, 0), None, None)
    assert made.sources == ("http://x/y", "http://m/y")
    assert Job.submitted(JobKey("k"), "u", DIGEST, now=1).sources == ("u",)


def test_start_charges_and_the_first_one_is_the_beginning():
    assert QUEUED.start(2, now=11) == DOWNLOADING
    again = replace(QUEUED, attempt=4, spent=2, started_at=11, evidence="old")
    assert again.start(None, now=20) == replace(
        DOWNLOADING, attempt=5, spent=3, slot=None, changed_at=20
    )


def test_new_bytes():
    assert FAR.advanced(Progress(8, 9), now=12) == replace(
        FAR,
        cause=Trigger.PROGRESS,
        changed_at=12,
        spent=0,
        progress=Progress(8, 9),
        evidence=None,
    )


def test_found():
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
    assert DOWNLOADING.verified(9, "proof", now=12) == INSTALLING
    assert INSTALLING.installed(now=13) == replace(
        INSTALLING, state=JobState.FINISHED, cause=Trigger.INSTALL, changed_at=13, evidence=None
    )


@pytest.mark.parametrize(("gained", "spent"), [(False, 4), (True, 1)])
def test_a_failure_that_may_pass_keeps_the_slot(gained, spent):
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
def test_a_failure_that_ends_it(before, error, budget, last):
    over = before.failed(error, Progress(8, 9), gained=False, budget=budget, now=12)
    assert over == replace(
        before,
        state=JobState.FAILED,
        cause=Trigger.FAIL,
        changed_at=12,
        slot=None,
        progress=Progress(8, 9),
        error=f"{error.sentence()}{last}",
        evidence=error.sentence(),
    )


def test_a_first_failure_tells_of_no_row_of_attempts():
    lone = replace(DOWNLOADING, mirrors=())
    assert lone.failed(CUT, SOME, gained=False, budget=1, now=12).error == CUT.sentence()
    gained = replace(lone, spent=5).failed(CUT, SOME, gained=True, budget=0, now=12)
    assert (gained.state, gained.spent) == (JobState.DOWNLOADING, 1)


def test_an_installation_that_fails():
    error = ImageError(FailureCode.NOT_AN_IMAGE, "no ISO")
    over = INSTALLING.failed(error, Progress(9, 9), gained=False, budget=9, now=13)
    assert (over.state, over.slot, over.error) == (JobState.FAILED, None, error.sentence())


def test_cancelled():
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
def test_interrupted_once_too_often(spent, budget):
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
def test_a_polite_stop(spent, left):
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


def test_the_code_of_what_failed():
    assert QUEUED.code is None
    assert INSTALLING.code is None, "its evidence is no failure's"
    retried = DOWNLOADING.failed(CUT, SOME, gained=False, budget=9, now=12)
    assert (retried.state, retried.code) == (JobState.DOWNLOADING, FailureCode.CUT_OFF)
    over = DOWNLOADING.failed(NO_SLOT, SOME, gained=False, budget=9, now=12)
    assert (over.state, over.code) == (JobState.FAILED, FailureCode.NO_SLOT)
    crashed = replace(DOWNLOADING, spent=9, mirrors=()).interrupted(budget=1, now=12)
    assert (crashed.state, crashed.code) == (JobState.FAILED, FailureCode.GAVE_UP)
    assert DOWNLOADING.cancelled(SOME, now=12).code is None
