"""Downloads as JSON, exactly as documented; extensions of spsd are in resources of their own."""

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
    """The state of a download, in the eight documented members."""

    bytes_downloaded: Annotated[int, Meta(ge=0, description="Bytes received so far.")]
    bytes_total: Annotated[
        int, Meta(ge=0, description="Size of the image in bytes; 0 while unknown.")
    ]
    error: Annotated[
        str | None,
        Meta(description="Of a failed download: a stable code, what happened, and an advice."),
    ]
    info: Annotated[
        str | None, Meta(description="The present activity or the kind of failure; else null.")
    ]
    slot_id: Annotated[
        int | None, Meta(description="Number of the slot with the image; null unless finished.")
    ]
    start_time: Annotated[
        DateTime | None, Meta(description="When the download started; null while `queued`.")
    ]
    status: Annotated[Status, Meta(description="State of the download.")]
    url: Annotated[str, Meta(description="The requested URL, without user name and password.")]


class ItemMeta(Shape):
    """Links of a download in the list; an item has no parent. [seen in sample]."""

    href: str
    slot: Annotated[str | UnsetType, Meta(description="Path of the slot; only if finished.")] = (
        UNSET
    )


class DownloadMeta(Shape):
    """Links of a download."""

    href: str
    parent: str
    slot: Annotated[str | UnsetType, Meta(description="Path of the slot; only if finished.")] = (
        UNSET
    )


class Accepted(Shape):
    """A download that is queued and stored on disk."""

    key: Annotated[str, Meta(description="Key of the download, a UUID.")]
    meta: SiblingsMeta


class Download(Shape):
    """One download."""

    body: FetchBody
    key: str
    meta: DownloadMeta


class DownloadItem(Shape):
    """A download in the list."""

    body: FetchBody
    key: str
    meta: ItemMeta


class Downloads(Shape):
    """The list of downloads, in order of creation."""

    items: list[DownloadItem]
    meta: SiblingsMeta


class HistoryEntry(Shape):
    """One state transition of a download."""

    time: DateTime
    cause: Annotated[str, Meta(description="The trigger of the transition.")]
    status: Annotated[Status, Meta(description="State after the transition.")]
    attempt: Annotated[int, Meta(ge=0, description="Number of the attempt; 0 before the first.")]
    evidence: Annotated[str | None, Meta(description="Facts about the cause, or null.")]


class HistoryBody(Shape):
    """The transitions, oldest first."""

    history: list[HistoryEntry]


class History(Shape):
    """The history of a download. An extension of spsd."""

    body: HistoryBody
    key: str
    meta: ResourceMeta


class Removed(Shape):
    """The response to DELETE. [unknown - our choice], as for configuration objects."""

    meta: ResourceMeta


def href_of(job: Job) -> str:
    """The path of a download."""
    return f"{FETCH}/{job.key}"


def accepted_document(job: Job) -> Accepted:
    """The response to POST; its parent is /api/firmware. [seen in sample]."""
    return Accepted(job.key, SiblingsMeta(href=href_of(job), parent=FIRMWARE))


def download_document(job: Job) -> Download:
    """The document of one download."""
    return Download(_body(job), job.key, DownloadMeta(href_of(job), FETCH, _slot_link(job)))


def download_item(job: Job) -> DownloadItem:
    """An item of the list."""
    return DownloadItem(_body(job), job.key, ItemMeta(href_of(job), _slot_link(job)))


def download_list(jobs: Sequence[Job]) -> Downloads:
    """The list of these downloads."""
    return Downloads(
        [download_item(job) for job in jobs], SiblingsMeta(href=FETCH, parent=FIRMWARE)
    )


def history_document(key: str, steps: Sequence[Step]) -> History:
    """The history of the download with ``key``."""
    entries = [
        HistoryEntry(
            date_time(step.at), step.cause, status_of(step.state), step.attempt, step.evidence
        )
        for step in steps
    ]
    href = f"{FETCH}/{key}"
    return History(HistoryBody(entries), key, ResourceMeta(f"{href}/history", href))


def removed_document(key: str) -> Removed:
    """The response to DELETE of the download with ``key``."""
    return Removed(ResourceMeta(f"{FETCH}/{key}", FETCH))


def _body(job: Job) -> FetchBody:
    """The members of a job; a queued one shows nothing of its earlier attempts."""
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
    """The documented status of a state; downloading and installing are both in-progress."""
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
