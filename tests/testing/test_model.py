"""The model complains: of each thing that cannot be, and of nothing else."""

import re
from dataclasses import replace

import pytest

from spsd.testing.model import BrokenPromiseError, JobModel, Look, Model, Status

A, B = "a" * 64, "b" * 64
URL = "http://origin/a"
EMPTY = Look(
    jobs={},
    held={1: None, 2: None},
    empty=2,
    current=None,
    after_reboot=None,
    digests=True,
    staged=frozenset(),
)


def body(status: str, **more: object) -> dict:
    size = 4 if status == "finished" else 0
    shown = {"status": status, "url": URL, "error": None, "slot_id": None}
    return shown | {"bytes_downloaded": size, "bytes_total": size} | more


FINISHED = body("finished", slot_id=1)
IN_SLOT_1 = replace(EMPTY, jobs={"k": FINISHED}, held={1: A, 2: None}, empty=1)


def model(*looks: Look) -> Model:
    """With a job, and what was seen so far."""
    made = Model({A: 4})
    made.looked(EMPTY)
    made.submitted("k", JobModel(A, URL))
    for look in looks:
        made.looked(look)
    return made


def jobs(**shown: dict) -> Look:
    return replace(EMPTY, jobs=shown)


def test_a_job_that_goes_its_way_is_fine() -> None:
    seen = model(jobs(k=body("queued")), jobs(k=body("in-progress")), IN_SLOT_1, IN_SLOT_1)
    assert seen.jobs["k"].is_over
    assert seen.running == []


def test_a_job_that_ends_between_two_looks_may_have_filled_its_slot_meanwhile() -> None:
    seen = model(jobs(k=body("in-progress")))
    seen.seen("k", FINISHED)
    seen.looked(IN_SLOT_1)
    empty = model(jobs(k=body("in-progress")))
    empty.seen("k", FINISHED)
    with pytest.raises(BrokenPromiseError, match="but slot 1 holds None"):
        empty.looked(replace(IN_SLOT_1, held={1: None, 2: None}))


def test_after_a_crash_it_may_be_queued_again_and_not_before() -> None:
    seen = model(jobs(k=body("in-progress")))
    seen.ended()
    seen.looked(jobs(k=body("queued")))
    with pytest.raises(BrokenPromiseError, match="which it cannot be"):
        model(jobs(k=body("in-progress")), jobs(k=body("queued")))


FAILED = body("failed", error="digest: no. Do this.")


@pytest.mark.parametrize(
    ("looks", "complaint"),
    [
        ([EMPTY], "has vanished"),
        ([jobs(k=body("queued"), other=body("queued"))], "nobody has asked for the job other"),
        ([jobs(k=body("cancelled"))], "cancelled with the error None, which it cannot be"),
        ([IN_SLOT_1, jobs(k=body("in-progress"))], "which it cannot be"),
        ([IN_SLOT_1, replace(IN_SLOT_1, jobs={"k": body("finished", slot_id=2)})], "has changed"),
        ([replace(IN_SLOT_1, held={1: None, 2: None})], "but slot 1 holds None"),
        ([replace(IN_SLOT_1, held={1: B, 2: None})], f"but slot 1 holds {B}"),
        ([replace(IN_SLOT_1, jobs={"k": FINISHED | {"bytes_total": 5}})], "with (4, 5) bytes"),
        ([jobs(k=body("queued", error="x"))], "is it an error?"),
        ([jobs(k=body("queued", slot_id=1))], "in a slot?"),
        ([jobs(k=FAILED)], "the image was there to be had"),
        ([jobs(k=body("failed", error="oops"))], "begins with no known code"),
        ([jobs(k=body("failed", error="no_slot: none."))], "there were empty slots all the time"),
        ([IN_SLOT_1, replace(IN_SLOT_1, held={1: None, 2: None}, empty=2)], "slot 1 has lost"),
        ([replace(EMPTY, jobs={"k": body("queued")}, held={1: B, 2: None})], "nobody has brought"),
        ([replace(IN_SLOT_1, current=1)], "slot 1 is current"),
        ([replace(IN_SLOT_1, after_reboot=1)], "slot 1 runs after a reboot"),
    ],
)
def test_it_complains(looks: list[Look], complaint: str) -> None:
    with pytest.raises(BrokenPromiseError, match=re.escape(complaint)):
        model(*looks)


def test_a_partial_after_a_cancel() -> None:
    seen = model(jobs(k=body("in-progress")))
    seen.jobs["k"].may_be = frozenset({Status.CANCELLED})
    cancelled = jobs(k=body("cancelled"))
    seen.looked(cancelled)
    with pytest.raises(BrokenPromiseError, match="has left partial files"):
        seen.looked(replace(cancelled, staged=frozenset({A})))


def test_an_image_that_arrives_after_the_cancel() -> None:
    seen = model(jobs(k=body("in-progress")))
    seen.jobs["k"].may_be = frozenset({Status.CANCELLED})
    late = replace(jobs(k=body("cancelled")), held={1: A, 2: None}, empty=1)
    with pytest.raises(BrokenPromiseError, match="nobody has brought"):
        seen.looked(late)


def test_a_lost_submission_may_be_there_or_not() -> None:
    for shown in ({}, {"new": body("queued", url="http://origin/b")}):
        seen = model(IN_SLOT_1)
        seen.submitted(None, JobModel(A, "http://origin/b"))
        seen.ended()
        seen.looked(replace(IN_SLOT_1, jobs=IN_SLOT_1.jobs | shown))
        assert list(seen.jobs) == ["k", *shown]


def test_a_choice_comes_true_with_a_reboot() -> None:
    seen = model(IN_SLOT_1)
    seen.chosen = frozenset({1, None})  # a crash in the middle
    seen.rebooted()
    seen.looked(replace(IN_SLOT_1, current=1, after_reboot=1))
    assert (seen.current, seen.protected) == (frozenset({1}), frozenset({1}))


def test_a_history_goes_along_the_arrows_and_only_grows() -> None:
    def line(status: str, attempt: int) -> dict:
        return {"status": status, "attempt": attempt}

    job = JobModel(A, URL)
    first = [line("queued", 0), line("in-progress", 1)]
    job.told(first)
    job.told([*first, line("queued", 1), line("cancelled", 1)])
    for wrong, complaint in (
        (first, "was changed"),
        ([*job.history, line("queued", 1)], "has queued after cancelled"),
    ):
        with pytest.raises(BrokenPromiseError, match=complaint):
            job.told(wrong)
    with pytest.raises(BrokenPromiseError, match="begins with"):
        JobModel(A, URL).told([line("in-progress", 1)])
    with pytest.raises(BrokenPromiseError, match="attempts"):
        JobModel(A, URL).told([line("queued", 2), line("in-progress", 1)])
