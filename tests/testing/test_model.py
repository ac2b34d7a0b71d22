"""The model raises BrokenPromiseError for each state that is not possible, and for no other."""

import re
from dataclasses import replace

import pytest

from spsd.testing.model import BrokenPromiseError, JobModel, Model, Snapshot, Status

A, B = "a" * 64, "b" * 64
URL = "http://origin/a"
NO_IMAGES = {1: None, 2: None}
EMPTY = Snapshot(
    jobs={},
    slots=NO_IMAGES,
    empty_slots=2,
    current_slot=None,
    after_reboot=None,
    has_digests=True,
    partial_files=frozenset(),
)


def body(status: str, **more: object) -> dict:
    size = 4 if status == "finished" else 0
    shown = {"status": status, "url": URL, "error": None, "slot_id": None}
    return shown | {"bytes_downloaded": size, "bytes_total": size} | more


FINISHED = body("finished", slot_id=1)
IN_SLOT_1 = replace(EMPTY, jobs={"k": FINISHED}, slots={1: A, 2: None}, empty_slots=1)


def model(*snapshots: Snapshot) -> Model:
    """A model with a job, after these snapshots."""
    checked = Model({A: 4})
    checked.check(EMPTY)
    checked.add_job("k", JobModel(A, URL))
    for snapshot in snapshots:
        checked.check(snapshot)
    return checked


def jobs(**shown: dict) -> Snapshot:
    return replace(EMPTY, jobs=shown)


def test_a_regular_job() -> None:
    checked = model(jobs(k=body("queued")), jobs(k=body("in-progress")), IN_SLOT_1, IN_SLOT_1)
    assert checked.jobs["k"].is_over
    assert checked.running == []


def test_a_job_that_ends_between_two_snapshots_may_have_filled_its_slot() -> None:
    checked = model(jobs(k=body("in-progress")))
    checked.check_job("k", FINISHED)
    checked.check(IN_SLOT_1)
    empty = model(jobs(k=body("in-progress")))
    empty.check_job("k", FINISHED)
    with pytest.raises(BrokenPromiseError, match="but slot 1 holds None"):
        empty.check(replace(IN_SLOT_1, slots=NO_IMAGES))


def test_a_job_may_be_queued_again_only_after_a_crash() -> None:
    checked = model(jobs(k=body("in-progress")))
    checked.server_ended()
    checked.check(jobs(k=body("queued")))
    with pytest.raises(BrokenPromiseError, match="which is not possible"):
        model(jobs(k=body("in-progress")), jobs(k=body("queued")))


FAILED = body("failed", error="digest: no. Do this.")


@pytest.mark.parametrize(
    ("snapshots", "message"),
    [
        ([EMPTY], "has vanished"),
        ([jobs(k=body("queued"), other=body("queued"))], "no client submitted the job other"),
        ([jobs(k=body("cancelled"))], "cancelled with the error None, which is not possible"),
        ([IN_SLOT_1, jobs(k=body("in-progress"))], "which is not possible"),
        ([IN_SLOT_1, replace(IN_SLOT_1, jobs={"k": body("finished", slot_id=2)})], "and changed"),
        ([replace(IN_SLOT_1, slots=NO_IMAGES)], "but slot 1 holds None"),
        ([replace(IN_SLOT_1, slots={1: B, 2: None})], f"but slot 1 holds {B}"),
        ([replace(IN_SLOT_1, jobs={"k": FINISHED | {"bytes_total": 5}})], "with (4, 5) bytes"),
        ([jobs(k=body("queued", error="x"))], "with the error 'x': wrong for this status"),
        ([jobs(k=body("queued", slot_id=1))], "and with slot 1"),
        ([jobs(k=FAILED)], "the origin had the image"),
        ([jobs(k=body("failed", error="oops"))], "begins with no known code"),
        ([jobs(k=body("failed", error="no_slot: none."))], "there were empty slots all the time"),
        (
            [IN_SLOT_1, replace(IN_SLOT_1, slots=NO_IMAGES, empty_slots=2)],
            "slot 1 has lost",
        ),
        (
            [replace(EMPTY, jobs={"k": body("queued")}, slots={1: B, 2: None})],
            "which no client sent there",
        ),
        ([replace(IN_SLOT_1, current_slot=1)], "slot 1 is current"),
        ([replace(IN_SLOT_1, after_reboot=1)], "slot 1 runs after a reboot"),
    ],
)
def test_impossible_snapshot(snapshots: list[Snapshot], message: str) -> None:
    with pytest.raises(BrokenPromiseError, match=re.escape(message)):
        model(*snapshots)


def test_a_partial_file_after_a_cancel() -> None:
    checked = model(jobs(k=body("in-progress")))
    checked.jobs["k"].possible = frozenset({Status.CANCELLED})
    cancelled = jobs(k=body("cancelled"))
    checked.check(cancelled)
    with pytest.raises(BrokenPromiseError, match="has left partial files"):
        checked.check(replace(cancelled, partial_files=frozenset({A})))


def test_an_image_that_is_installed_after_the_cancel() -> None:
    checked = model(jobs(k=body("in-progress")))
    checked.jobs["k"].possible = frozenset({Status.CANCELLED})
    late = replace(jobs(k=body("cancelled")), slots={1: A, 2: None}, empty_slots=1)
    with pytest.raises(BrokenPromiseError, match="which no client sent there"):
        checked.check(late)


def test_a_submission_without_a_response_may_exist_or_not() -> None:
    for shown in ({}, {"new": body("queued", url="http://origin/b")}):
        checked = model(IN_SLOT_1)
        checked.add_job(None, JobModel(A, "http://origin/b"))
        checked.server_ended()
        checked.check(replace(IN_SLOT_1, jobs=IN_SLOT_1.jobs | shown))
        assert list(checked.jobs) == ["k", *shown]


def test_a_reboot_runs_the_chosen_slot() -> None:
    checked = model(IN_SLOT_1)
    checked.chosen_slots = frozenset({1, None})  # after a crash during the upgrade
    checked.rebooted()
    checked.check(replace(IN_SLOT_1, current_slot=1, after_reboot=1))
    assert (checked.current_slots, checked.protected_slots) == (frozenset({1}), frozenset({1}))


def test_a_history_only_grows_by_allowed_transitions() -> None:
    def line(status: str, attempt: int) -> dict:
        return {"status": status, "attempt": attempt}

    job = JobModel(A, URL)
    first = [line("queued", 0), line("in-progress", 1)]
    job.check_history(first)
    job.check_history([*first, line("queued", 1), line("cancelled", 1)])
    for wrong, message in (
        (first, "was changed"),
        ([*job.history, line("queued", 1)], "has queued after cancelled"),
    ):
        with pytest.raises(BrokenPromiseError, match=message):
            job.check_history(wrong)
    with pytest.raises(BrokenPromiseError, match="begins with"):
        JobModel(A, URL).check_history([line("in-progress", 1)])
    with pytest.raises(BrokenPromiseError, match="attempts"):
        JobModel(A, URL).check_history([line("queued", 2), line("in-progress", 1)])
