"""Downloads on the wire, exactly as documented; what is ours goes to other places."""

from collections.abc import Sequence
from typing import Annotated, Literal, assert_never

from msgspec import UNSET, Meta, UnsetType

from spsd.jobs.job import Job, Step
from spsd.jobs.lifecycle import JobState
from spsd.transfer.ports import NO_PROGRESS
from spsd.transfer.rules.url import without_credentials
from spsd.web.links import FETCH, FIRMWARE, ResourceMeta, SiblingsMeta, slot_path
from spsd.web.responses import DateTime, Shape, date_time

Status = Literal["queued", "in-progress", "finished", "failed", "cancelled"]


class FetchBody(Shape):
    """The eight keys of a download."""

    bytes_downloaded: Annotated[int, Meta(ge=0, description="Bytes already got.")]
    bytes_total: Annotated[int, Meta(ge=0, description="Size of the image; 0 while unknown.")]
    error: Annotated[str | None, Meta(description="A stable code, what happened, and what to do.")]
    info: Annotated[str | None, Meta(description="What the job is doing.")]
    slot_id: Annotated[int | None, Meta(description="The slot the image went to.")]
    start_time: Annotated[DateTime | None, Meta(description="Null while `queued`.")]
    status: Annotated[Status, Meta(description="Where the job stands.")]
    url: Annotated[str, Meta(description="As requested, without credentials.")]


class ItemMeta(Shape):
    """A download's links in a list; an item has no parent. [seen in sample]."""

    href: str
    slot: Annotated[str | UnsetType, Meta(description="Only when finished.")] = UNSET


class DownloadMeta(Shape):
    """A download's links."""

    href: str
    parent: str
    slot: Annotated[str | UnsetType, Meta(description="Only when finished.")] = UNSET


class Accepted(Shape):
    """A download that is queued, durably."""

    key: Annotated[str, Meta(description="A UUID: the name of the download.")]
    meta: SiblingsMeta


class Download(Shape):
    """One download."""

    body: FetchBody
    key: str
    meta: DownloadMeta


class DownloadItem(Shape):
    """A download in a list."""

    body: FetchBody
    key: str
    meta: ItemMeta


class Downloads(Shape):
    """All downloads, in order of creation."""

    items: list[DownloadItem]
    meta: SiblingsMeta


class HistoryEntry(Shape):
    """One line of a download's history."""

    time: DateTime
    cause: Annotated[str, Meta(description="The trigger that moved the job.")]
    status: Status
    attempt: Annotated[int, Meta(ge=0)]
    evidence: Annotated[str | None, Meta(description="What was known at that moment.")]


class HistoryBody(Shape):
    """The moves, oldest first."""

    history: list[HistoryEntry]


class History(Shape):
    """How a download came to where it is; a place of our own."""

    body: HistoryBody
    key: str
    meta: ResourceMeta


class Removed(Shape):
    """The answer to a DELETE. [unknown - our choice], as for configuration objects."""

    meta: ResourceMeta


def href_of(job: Job) -> str:
    """The path of a download."""
    return f"{FETCH}/{job.key}"


def accepted(job: Job) -> Accepted:
    """The answer to a POST; its parent is /api/firmware. [seen in sample]."""
    return Accepted(job.key, SiblingsMeta(href=href_of(job), parent=FIRMWARE))


def one(job: Job) -> Download:
    """One download."""
    return Download(body_of(job), job.key, DownloadMeta(href_of(job), FETCH, _slot_link(job)))


def item(job: Job) -> DownloadItem:
    """One download in a list."""
    return DownloadItem(body_of(job), job.key, ItemMeta(href_of(job), _slot_link(job)))


def many(jobs: Sequence[Job]) -> Downloads:
    """All downloads."""
    return Downloads([item(job) for job in jobs], SiblingsMeta(href=FETCH, parent=FIRMWARE))


def history_of(key: str, steps: Sequence[Step]) -> History:
    """The job's history."""
    moves = [
        HistoryEntry(
            date_time(step.at), step.cause, status_of(step.state), step.attempt, step.evidence
        )
        for step in steps
    ]
    href = f"{FETCH}/{key}"
    return History(HistoryBody(moves), key, ResourceMeta(f"{href}/history", href))


def removed(key: str) -> Removed:
    """The answer to a DELETE."""
    return Removed(ResourceMeta(f"{FETCH}/{key}", FETCH))


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
        start_time=None if queued or job.started_at is None else date_time(job.started_at),
        status=status_of(job.state),
        url=without_credentials(job.url),
    )


def status_of(state: JobState) -> Status:
    """The documented status: both phases of the work are in progress."""
    match state:
        case JobState.DOWNLOADING | JobState.INSTALLING:
            return "in-progress"
        case JobState.QUEUED:
            return "queued"
        case JobState.FINISHED:
            return "finished"
        case JobState.FAILED:
            return "failed"
        case JobState.CANCELLED:
            return "cancelled"
        case _:
            assert_never(state)


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


def _slot_link(job: Job) -> str | UnsetType:
    if job.state is not JobState.FINISHED or job.slot is None:
        return UNSET
    return slot_path(job.slot)
