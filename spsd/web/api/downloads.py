"""``/api/firmware/fetch``: parse, call one method, encode."""

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
    NEXT,
    QUERY,
    WAITING,
    asked_to_wait,
    more,
    page,
    selection_of,
    unchanged,
    validated,
    waited,
)
from spsd.web.contract import Access, Field, Link, Operation, RequestBody, SuccessResponse
from spsd.web.links import FETCH
from spsd.web.requests import Submission, read_json
from spsd.web.responses import encoded, respond

DOWNLOAD_SERVICE = web.AppKey("fetching", Downloads)
LISTING = web.AppKey("listing", asyncio.Lock)


async def submit(request: web.Request) -> web.Response:
    """Queue a download."""
    url, sha256, mirrors = (await read_json(request, Submission)).parsed()
    job = await request.app[DOWNLOAD_SERVICE].submit(url, sha256, mirrors)
    response = respond(downloads.accepted(job), status=HTTPStatus.ACCEPTED)
    response.headers[hdrs.LOCATION] = downloads.href_of(job)
    return response


async def list_all(request: web.Request) -> web.StreamResponse:
    """Every download, or those that the query asks for, in order of creation."""
    if events.accepts_events(request):
        return await events.stream_all(request, partial(_list_document, request))
    asked = selection_of(request.query)
    revision = await waited(request)
    if (same := unchanged(request, revision)) is not None:
        return same
    return validated(await _list(request, asked), revision)


async def _list_document(request: web.Request) -> bytes:
    async with request.app[LISTING]:
        jobs = await request.app[DOWNLOAD_SERVICE].list()
        return await asyncio.to_thread(_encoded, jobs)


async def _list(request: web.Request, asked: Selection) -> web.Response:
    # A list of thousands takes a tenth of a second to put together: one at a time, and not on the
    # loop, so that others are answered meanwhile.
    async with request.app[LISTING]:
        jobs = await request.app[DOWNLOAD_SERVICE].list(more(asked))
        return await asyncio.to_thread(_listed, jobs, asked)


def _encoded(jobs: Sequence[Job]) -> bytes:
    return msgspec.json.encode(downloads.many(jobs))


def _listed(jobs: Sequence[Job], asked: Selection) -> web.Response:
    shown = jobs[: asked.limit]
    response = encoded(_encoded(shown))
    if len(shown) < len(jobs):
        page(response, asked, shown)
    return response


async def get(request: web.Request) -> web.StreamResponse:
    """One download."""
    key = _key(request)
    if events.accepts_events(request):
        return await events.stream_one(request, key, partial(_get_document, request, key))
    if asked_to_wait(request):
        await request.app[DOWNLOAD_SERVICE].get(key)  # nobody waits for what is not there
    revision = await waited(request, key)
    found = await _get_document(request, key)
    return unchanged(request, revision) or validated(encoded(found), revision)


async def _get_document(request: web.Request, key: JobKey) -> bytes:
    return msgspec.json.encode(downloads.one(await request.app[DOWNLOAD_SERVICE].get(key)))


async def history(request: web.Request) -> web.Response:
    """How one download came to where it is."""
    key = _key(request)
    return respond(downloads.history_of(key, await request.app[DOWNLOAD_SERVICE].history(key)))


async def delete(request: web.Request) -> web.Response:
    """Cancel, or remove the record."""
    await request.app[DOWNLOAD_SERVICE].delete(_key(request))
    return respond(downloads.removed(_key(request)))


def _key(request: web.Request) -> JobKey:
    return JobKey(request.match_info["key"])


_TAG = "Downloads"
_ONE = f"{FETCH}/{{key}}"
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
        notes="The image is fetched, proven and put into an empty slot; it is neither tested nor "
        "chosen. When the answer comes, the job is on disk. The body is read as JSON whatever "
        "its content type.",
        access=Access.ADMIN,
        takes=RequestBody(Submission),
        answer=SuccessResponse(
            downloads.Accepted,
            HTTPStatus.ACCEPTED,
            "Queued.",
            (Field(hdrs.LOCATION, "The path of the download.", required=True),),
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
        notes="All of them, in order of creation; nothing is removed by itself. The query, which "
        "is spsd's own, asks for some of them or for a page.",
        access=Access.VIEWER,
        query=(*QUERY, *WAITING),
        headers=(IF_NONE_MATCH,),
        answer=SuccessResponse(
            downloads.Downloads,
            meaning="Every download that is asked for.",
            headers=(NEXT, ETAG),
            stream="`snapshot`, the whole list; then `download`, an item of it, for each change, "
            "and `removed`. Takes no query. Of spsd's own.",
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
        path=_ONE,
        handler=get,
        tag=_TAG,
        summary="Look at a download",
        access=Access.VIEWER,
        query=WAITING,
        headers=(IF_NONE_MATCH,),
        answer=SuccessResponse(
            downloads.Download,
            meaning="The download.",
            headers=(ETAG,),
            stream="`download`, this document, now and after each change; at last `removed`. "
            "Takes no query. Of spsd's own.",
            conditional=True,
        ),
        errors=(InvalidQueryError, ResourceNotFoundError, TooManyReadersError),
    ),
    Operation(
        name="deleteDownload",
        method=hdrs.METH_DELETE,
        path=_ONE,
        handler=delete,
        tag=_TAG,
        summary="Cancel a download, or remove its record",
        notes="What is queued or downloading is cancelled, and its partial file removed; the "
        "record stays. Of what is over, the record is removed. So a running download takes two "
        "DELETEs. Once the image is being installed it cannot be cancelled.",
        access=Access.ADMIN,
        answer=SuccessResponse(downloads.Removed, meaning="Cancelled, or removed."),
        errors=(ResourceNotFoundError, FetchNotCancellableError),
    ),
    Operation(
        name="getDownloadHistory",
        method=hdrs.METH_GET,
        path=f"{_ONE}/history",
        handler=history,
        tag=_TAG,
        summary="See how a download came to where it is",
        notes="Each move with time, cause, attempt and evidence. A path of spsd's own.",
        access=Access.VIEWER,
        answer=SuccessResponse(downloads.History, meaning="The moves, oldest first."),
        errors=(ResourceNotFoundError,),
    ),
)
