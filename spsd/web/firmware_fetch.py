"""``/api/firmware/fetch``: parse, call one method, encode."""

from http import HTTPStatus

from aiohttp import hdrs, web

from spsd.domain.job import JobKey
from spsd.services.fetching import Fetching
from spsd.web import codec
from spsd.web.answers import answer

FETCHING = web.AppKey("fetching", Fetching)


async def submit(request: web.Request) -> web.Response:
    """Queue a download. JSON whatever the content type says. [inferred]."""
    url, sha256 = codec.decode_submission(await request.read())
    job = await request.app[FETCHING].submit(url, sha256)
    response = answer(codec.accepted(job), status=HTTPStatus.ACCEPTED)
    response.headers[hdrs.LOCATION] = codec.href_of(job)
    return response


async def list_all(request: web.Request) -> web.Response:
    """Every download, in order of creation."""
    return answer(codec.many(await request.app[FETCHING].list()))


async def get(request: web.Request) -> web.Response:
    """One download."""
    return answer(codec.one(await request.app[FETCHING].get(_key(request))))


async def history(request: web.Request) -> web.Response:
    """How one download came to where it is."""
    key = _key(request)
    return answer(codec.history_of(key, await request.app[FETCHING].history(key)))


async def delete(request: web.Request) -> web.Response:
    """Cancel, or remove the record."""
    await request.app[FETCHING].delete(_key(request))
    return answer(codec.removed(_key(request)))


def _key(request: web.Request) -> JobKey:
    return JobKey(request.match_info["key"])
