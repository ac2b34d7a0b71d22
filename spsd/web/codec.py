"""The wire's shapes, exactly as documented; what is ours goes to other places."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never

import msgspec
from msgspec import UNSET, UnsetType

from spsd.domain.digest import Sha256, parse_sha256
from spsd.domain.errors import IncompleteRequestBodyError, InvalidRequestBodyError
from spsd.domain.job import NO_PROGRESS, Job, Step
from spsd.domain.lifecycle import JobState
from spsd.domain.source import displayed, parse_source_url

FETCH = "/api/firmware/fetch"
SIBLINGS = {
    "slots": "/api/firmware/slots",
    "test": "/api/firmware/test",
    "upgrade": "/api/firmware/upgrade",
}


class Checksum(msgspec.Struct, forbid_unknown_fields=True):
    """Only sha256 is accepted. [documented]."""

    sha256: str | UnsetType = UNSET


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST; what is missing is told by name, so nothing is required here."""

    url: str | UnsetType = UNSET
    checksum: Checksum | UnsetType = UNSET


class FetchBody(msgspec.Struct, frozen=True):
    """The eight keys of a download."""

    bytes_downloaded: int
    bytes_total: int
    error: str | None
    info: str | None
    slot_id: int | None
    start_time: str | None
    status: str
    url: str


def decode_submission(body: bytes) -> tuple[str, Sha256]:
    """The URL and the digest that a client asks for.

    Raises:
        IncompleteRequestBodyError: a required member is missing; the error names it.
        InvalidRequestBodyError: the body is no JSON object, or a member is wrong; it names it.
    """
    try:
        asked = msgspec.json.decode(body, type=Submission)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestBodyError(f"The body cannot be used: {error}.") from error
    if asked.url is UNSET:
        raise _missing("url")
    if asked.checksum is UNSET:
        raise _missing("checksum")
    if asked.checksum.sha256 is UNSET:
        raise _missing("checksum.sha256")
    return (
        parse_source_url(asked.url, field="url"),
        parse_sha256(asked.checksum.sha256, field="checksum.sha256"),
    )


def _missing(field: str) -> IncompleteRequestBodyError:
    return IncompleteRequestBodyError(f"The body must have the member `{field}`.", field=field)


def href_of(job: Job) -> str:
    """The path of a download."""
    return f"{FETCH}/{job.key}"


def accepted(job: Job) -> dict[str, object]:
    """The answer to a POST; its parent is /api/firmware. [seen in sample]."""
    return {
        "key": job.key,
        "meta": {"href": href_of(job), "parent": "/api/firmware"} | SIBLINGS,
    }


def one(job: Job) -> dict[str, object]:
    """One download."""
    meta = {"href": href_of(job), "parent": FETCH} | _slot_link(job)
    return {"body": body_of(job), "key": job.key, "meta": meta}


def many(jobs: Sequence[Job]) -> dict[str, object]:
    """All downloads; an item's meta has no parent. [seen in sample]."""
    items = [
        {"body": body_of(job), "key": job.key, "meta": {"href": href_of(job)} | _slot_link(job)}
        for job in jobs
    ]
    return {"items": items, "meta": {"href": FETCH, "parent": "/api/firmware"} | SIBLINGS}


def history_of(key: str, steps: Sequence[Step]) -> dict[str, object]:
    """The job's history. [unknown - our choice]: a place of our own."""
    told = [
        {
            "time": _time(step.at),
            "cause": step.cause,
            "status": status_of(step.state),
            "attempt": step.attempt,
            "evidence": step.evidence,
        }
        for step in steps
    ]
    href = f"{FETCH}/{key}"
    return {
        "body": {"history": told},
        "key": key,
        "meta": {"href": f"{href}/history", "parent": href},
    }


def removed(key: str) -> dict[str, object]:
    """The answer to a DELETE. [unknown - our choice], as for configuration objects."""
    return {"meta": {"href": f"{FETCH}/{key}", "parent": FETCH}}


def body_of(job: Job) -> FetchBody:
    """What is shown of a job; a queued one shows nothing of earlier attempts."""
    queued = job.state is JobState.QUEUED
    progress = NO_PROGRESS if queued else job.progress
    return FetchBody(
        bytes_downloaded=progress.done,
        bytes_total=progress.total,
        error=job.error,
        info=_info(job.state),
        slot_id=job.slot if job.state is JobState.FINISHED else None,
        start_time=None if queued or job.started_at is None else _time(job.started_at),
        status=status_of(job.state),
        url=displayed(job.url),
    )


def status_of(state: JobState) -> str:
    """The documented status: both phases of the work are in progress."""
    if state in (JobState.DOWNLOADING, JobState.INSTALLING):
        return "in-progress"
    return state.value


def _info(state: JobState) -> str | None:
    match state:
        case JobState.DOWNLOADING:
            return "Downloading"
        case JobState.INSTALLING:
            return "Installing"
        case JobState.FAILED:
            return "Firmware fetching failed"
        case JobState.CANCELLED:
            return "Firmware fetching cancelled"
        case JobState.QUEUED | JobState.FINISHED:
            return None
        case _:
            assert_never(state)


def _slot_link(job: Job) -> dict[str, str]:
    if job.state is not JobState.FINISHED:
        return {}
    return {"slot": f"/api/firmware/slots/{job.slot}"}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
