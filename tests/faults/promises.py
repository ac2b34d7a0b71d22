"""The promises of the design, checked on a directory and its rows after any fault."""

import hashlib
import itertools
from collections.abc import Collection
from pathlib import Path

import msgspec

from spsd.failures import EXPLANATIONS, FailureCode
from spsd.jobs.job import Job, Step
from spsd.jobs.lifecycle import TERMINAL, JobState, Trigger, advance
from spsd.slots.model import InstalledImage
from tests.faults.daemon_run import COUNT, DaemonRun, Place


async def no_slot_is_leased(run: DaemonRun) -> None:
    """An idle daemon has released every slot, and reports no progress of a download."""
    holders = [run.reservations.holder(slot) for slot in range(1, COUNT + 1)]
    assert holders == [None] * COUNT
    assert run.scheduler._running == {}
    assert run.scheduler._discarding == set()
    assert run.resources.board._progress == {}


async def jobs_are_over(run: DaemonRun, *, codes: Collection[str]) -> list[Job]:
    """Promises a, c and f for the rows of an idle daemon; jobs may have failed with ``codes``."""
    place = run.place
    rows = {job.key: job for job in await run.rows.list()}
    for key, acknowledged in place.acknowledged.items():
        if acknowledged == "removed":
            assert key not in rows
        elif acknowledged == "cancelled" or key not in place.deleting:
            assert key in rows, f"{key} was acknowledged ({acknowledged}) and is lost"
    for job in rows.values():
        assert job.state in TERMINAL
        check_history(await run.rows.history(job.key), job)
        acknowledged = place.acknowledged.get(job.key)
        if acknowledged == "cancelled":
            assert job.state is JobState.CANCELLED
        elif job.state is JobState.CANCELLED:
            assert job.key in place.deleting
        if job.state is JobState.FAILED:
            code = FailureCode(job.error.partition(":")[0])
            assert code in codes, job.error
            assert job.error.endswith(EXPLANATIONS[code].advice) or "in a row" in job.error
    return list(rows.values())


def check_history(history: list[Step], job: Job) -> None:
    """The history is a path through the transition table, and ends in the state of the row."""
    assert (history[0].cause, history[0].state) == (Trigger.SUBMIT, JobState.QUEUED)
    for before, step in itertools.pairwise(history):
        allowed = {advance(before.state, step.cause, may_retry=retry) for retry in (True, False)}
        assert step.state in allowed
        assert step.attempt >= before.attempt
    assert (history[-1].state, history[-1].cause) == (job.state, job.cause)


def read_slots(place: Place, images: Collection[bytes]) -> dict[int, bytes]:
    """Promises b and c: every slot is empty or holds a verified, known image; returns them."""
    allowed = {str(slot) for slot in range(1, COUNT + 1)} | {"next", "boot.json"}
    assert {path.name for path in place.slots.iterdir()} <= allowed
    held = {}
    for slot in range(1, COUNT + 1):
        directory = place.slots / str(slot)
        if directory.exists():
            held[slot] = _whole(directory)
            assert held[slot] in images
    return held


def _whole(directory: Path) -> bytes:
    manifest = msgspec.json.decode((directory / "manifest.json").read_bytes(), type=InstalledImage)
    content = (directory / "image").read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    assert len(content) == manifest.size
    return content


def finished_jobs_have_their_images(jobs: Collection[Job], held: dict[int, bytes]) -> None:
    """Each finished job names a slot that holds the requested image."""
    for job in jobs:
        if job.state is JobState.FINISHED:
            assert hashlib.sha256(held[job.slot]).hexdigest() == job.sha256


def staging_is_clean_or_reusable(place: Place, jobs: Collection[Job]) -> None:
    """Promise e: each partial file belongs to a failed job whose bytes a new job can use."""
    reusable = {
        job.sha256
        for job in jobs
        if job.state is JobState.FAILED
        and EXPLANATIONS[FailureCode(job.error.partition(":")[0])].keeps_partial
    }
    assert place.staged() <= reusable
