"""What holds whatever was struck: the promises of the design, asked of a directory and its rows."""

import hashlib
import itertools
from collections.abc import Collection
from pathlib import Path

import msgspec

from spsd.failures import EXPLANATIONS, FailureCode
from spsd.jobs.job import Job, Step
from spsd.jobs.lifecycle import TERMINAL, JobState, Trigger, advance
from spsd.slots.model import InstalledImage
from tests.strikes.life import COUNT, Life, Place


async def nothing_is_claimed(life: Life) -> None:
    """A life at rest has let go of every slot, and says so of no download."""
    holders = [life.reservations.holder(slot) for slot in range(1, COUNT + 1)]
    assert holders == [None] * COUNT
    assert life.scheduler._running == {}
    assert life.scheduler._discarding == set()
    assert life.resources.board._progress == {}


async def jobs_are_over(life: Life, *, codes: Collection[str]) -> list[Job]:
    """Promises a, c and f, of the rows of a life at rest; a job may have failed of ``codes``."""
    place = life.place
    rows = {job.key: job for job in await life.rows.list()}
    for key, told in place.acknowledged.items():
        if told == "removed":
            assert key not in rows
        elif told == "cancelled" or key not in place.deleting:
            assert key in rows, f"{key} was acknowledged ({told}) and is lost"
    for job in rows.values():
        assert job.state in TERMINAL
        legal(await life.rows.history(job.key), job)
        told = place.acknowledged.get(job.key)
        if told == "cancelled":
            assert job.state is JobState.CANCELLED
        elif job.state is JobState.CANCELLED:
            assert job.key in place.deleting
        if job.state is JobState.FAILED:
            code = FailureCode(job.error.partition(":")[0])
            assert code in codes, job.error
            assert job.error.endswith(EXPLANATIONS[code].advice) or "in a row" in job.error
    return list(rows.values())


def legal(history: list[Step], job: Job) -> None:
    """The history is a path through the table, and ends where the row stands."""
    assert (history[0].cause, history[0].state) == (Trigger.SUBMIT, JobState.QUEUED)
    for before, step in itertools.pairwise(history):
        ways = {advance(before.state, step.cause, may_retry=retry) for retry in (True, False)}
        assert step.state in ways
        assert step.attempt >= before.attempt
    assert (history[-1].state, history[-1].cause) == (job.state, job.cause)


def slots_are_whole(place: Place, images: Collection[bytes]) -> dict[int, bytes]:
    """Promises b and c: every slot is empty, or holds an image that is proven, and a known one."""
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


def finished_jobs_have_their_image(jobs: Collection[Job], held: dict[int, bytes]) -> None:
    """A job that says finished names a slot with the bytes that were asked for."""
    for job in jobs:
        if job.state is JobState.FINISHED:
            assert hashlib.sha256(held[job.slot]).hexdigest() == job.sha256


def nothing_is_left_in_staging(place: Place, jobs: Collection[Job]) -> None:
    """Promise e: what lies there belongs to a failed job that can be sent again."""
    worth = {
        job.sha256
        for job in jobs
        if job.state is JobState.FAILED
        and EXPLANATIONS[FailureCode(job.error.partition(":")[0])].keeps_partial
    }
    assert place.staged() <= worth
