"""``/api/firmware/fetch``: the handlers of downloads, and their operations."""

import asyncio
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web

from spsd.errors import (
    FetchNotCancellableError,
    IncompleteRequestBodyError,
    InvalidQueryError,
    InvalidRequestBodyError,
    ResourceNotFoundError,
    TooManyReadersError,
)
from spsd.jobs.job import Job, JobKey, Selection
from spsd.jobs.service import Downloads
from spsd.web.api import download_json as downloads
from spsd.web.api import events
from spsd.web.api.query import (
    ETAG,
    IF_NONE_MATCH,
    LINK,
    SELECTION_PARAMETERS,
    WAIT_PARAMETERS,
    add_link_to_next_page,
    not_modified,
    selection_of,
    set_etag,
    wait_for_change,
    wait_seconds,
    with_one_more,
)
from spsd.web.background import accepts_events
from spsd.web.contract import Access, Field, Link, Operation, RequestBody, SuccessResponse
from spsd.web.links import FETCH
from spsd.web.middleware.audit import Event, audited
from spsd.web.requests import Submission, read_json
from spsd.web.responses import json_response, respond

DOWNLOAD_SERVICE = web.AppKey("fetching", Downloads)
LISTING = web.AppKey("listing", asyncio.Lock)


async def submit(request: web.Request) -> web.Response:
    """Queue a download; 202 when the job is stored on disk."""
    url, sha256, mirrors = (await read_json(request, Submission)).parsed()
    with audited(request, Event.SUBMIT) as subject:
        job = await request.app[DOWNLOAD_SERVICE].submit(url, sha256, mirrors)
        subject.job = job.key
    response = respond(downloads.accepted_document(job), status=HTTPStatus.ACCEPTED)
    response.headers[hdrs.LOCATION] = downloads.href_of(job)
    return response


async def list_all(request: web.Request) -> web.StreamResponse:
    """The downloads that the query selects, all by default, in order of creation."""
    if accepts_events(request):
        return await events.stream_all(request, request.app[DOWNLOAD_SERVICE].list)
    selection = selection_of(request.query)
    revision = await wait_for_change(request)
    if (response := not_modified(request, revision)) is not None:
        return response
    return set_etag(await _list(request, selection), revision)


async def _list(request: web.Request, selection: Selection) -> web.Response:
    # To encode thousands of downloads takes a tenth of a second: it is done in a thread, so that
    # the loop serves other requests, and for one list at a time.
    async with request.app[LISTING]:
        jobs = await request.app[DOWNLOAD_SERVICE].list(with_one_more(selection))
        return await asyncio.to_thread(_list_response, jobs, selection)


def _encode_list(jobs: Sequence[Job]) -> bytes:
    return msgspec.json.encode(downloads.download_list(jobs))


def _list_response(jobs: Sequence[Job], selection: Selection) -> web.Response:
    page = jobs[: selection.limit]
    response = json_response(_encode_list(page))
    if len(page) < len(jobs):
        add_link_to_next_page(response, selection, page)
    return response


async def get(request: web.Request) -> web.StreamResponse:
    """One download."""
    key = _key(request)
    if accepts_events(request):
        return await events.stream_one(request, key, partial(_get_document, request, key))
    if wait_seconds(request):
        await request.app[DOWNLOAD_SERVICE].get(key)  # 404 at once, without a wait
    revision = await wait_for_change(request, key)
    document = await _get_document(request, key)
    return not_modified(request, revision) or set_etag(json_response(document), revision)


async def _get_document(request: web.Request, key: JobKey) -> bytes:
    job = await request.app[DOWNLOAD_SERVICE].get(key)
    return msgspec.json.encode(downloads.download_document(job))


async def history(request: web.Request) -> web.Response:
    """The state transitions of one download."""
    key = _key(request)
    steps = await request.app[DOWNLOAD_SERVICE].history(key)
    return respond(downloads.history_document(key, steps))


async def delete(request: web.Request) -> web.Response:
    """Cancel a download, or remove the record of one that has ended."""
    with audited(request, Event.CANCEL, job=_key(request)) as subject:
        if not await request.app[DOWNLOAD_SERVICE].delete(_key(request)):
            subject.event = Event.REMOVE
    return respond(downloads.removed_document(_key(request)))


def _key(request: web.Request) -> JobKey:
    return JobKey(request.match_info["key"])


_TAG = "Downloads"
_DOWNLOAD = f"{FETCH}/{{key}}"
_BY_KEY = {"key": "$response.body#/key"}
_FIRST = {"key": "$response.body#/items/0/key"}
OPERATIONS = (
    Operation(
        name="submitDownload",
        method=hdrs.METH_POST,
        path=FETCH,
        handler=submit,
        tag=_TAG,
        summary="Start a download",
        notes="The image is downloaded, verified and installed in an empty slot; the slot is "
        "neither tested nor chosen for the next boot. The response is sent when the job is stored "
        "on disk. The body is read as JSON with any content type.",
        access=Access.ADMIN,
        request_body=RequestBody(Submission),
        success=SuccessResponse(
            downloads.Accepted,
            HTTPStatus.ACCEPTED,
            "The download is queued.",
            (Field(hdrs.LOCATION, "Path of the download.", required=True),),
        ),
        errors=(IncompleteRequestBodyError, InvalidRequestBodyError),
        links=(
            Link("getDownload", _BY_KEY),
            Link("getDownloadHistory", _BY_KEY),
            Link("deleteDownload", _BY_KEY),
        ),
    ),
    Operation(
        name="listDownloads",
        method=hdrs.METH_GET,
        path=FETCH,
        handler=list_all,
        tag=_TAG,
        summary="List the downloads",
        notes="In order of creation; spsd never removes a download on its own. The query selects "
        "downloads, or a page of them. The query and the event stream are extensions of spsd.",
        access=Access.VIEWER,
        query=(*SELECTION_PARAMETERS, *WAIT_PARAMETERS),
        headers=(IF_NONE_MATCH,),
        success=SuccessResponse(
            downloads.Downloads,
            meaning="The selected downloads.",
            headers=(LINK, ETAG),
            stream="First the event `snapshot` with the whole list; then, for each change, the "
            "event `download` with an item of the list, or `removed` with the key of a removed "
            "download. A client that sends `Last-Event-ID` receives what it missed instead of "
            "`snapshot`, if possible. The stream has no query parameters.",
            conditional=True,
        ),
        errors=(InvalidQueryError, ResourceNotFoundError, TooManyReadersError),
        links=(
            Link("getDownload", _FIRST),
            Link("getDownloadHistory", _FIRST),
            Link("deleteDownload", _FIRST),
        ),
    ),
    Operation(
        name="getDownload",
        method=hdrs.METH_GET,
        path=_DOWNLOAD,
        handler=get,
        tag=_TAG,
        summary="Read a download",
        access=Access.VIEWER,
        query=WAIT_PARAMETERS,
        headers=(IF_NONE_MATCH,),
        success=SuccessResponse(
            downloads.Download,
            meaning="The download.",
            headers=(ETAG,),
            stream="The event `download` with this document, at once and after each change, until "
            "the event `removed` ends the stream. The stream has no query parameters. An "
            "extension of spsd.",
            conditional=True,
        ),
        errors=(InvalidQueryError, ResourceNotFoundError, TooManyReadersError),
    ),
    Operation(
        name="deleteDownload",
        method=hdrs.METH_DELETE,
        path=_DOWNLOAD,
        handler=delete,
        tag=_TAG,
        summary="Cancel a download, or remove its record",
        notes="A queued or running download is cancelled and its partial file deleted; its record "
        "stays. A second DELETE, or one of a download that has ended, removes the record. A "
        "download whose image is being installed cannot be cancelled.",
        access=Access.ADMIN,
        success=SuccessResponse(
            downloads.Removed, meaning="The download is cancelled, or its record removed."
        ),
        errors=(ResourceNotFoundError, FetchNotCancellableError),
    ),
    Operation(
        name="getDownloadHistory",
        method=hdrs.METH_GET,
        path=f"{_DOWNLOAD}/history",
        handler=history,
        tag=_TAG,
        summary="Read the history of a download",
        notes="Each state transition with time, cause, attempt and evidence. An extension of spsd.",
        access=Access.VIEWER,
        success=SuccessResponse(downloads.History, meaning="The transitions, oldest first."),
        errors=(ResourceNotFoundError,),
    ),
)
