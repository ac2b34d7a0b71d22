"""Answers as JSON, with the header fields that every one of them has."""

from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler


def answer(content: object, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )


@web.middleware
async def common_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Allow and Content-Language are on every response. [documented] 6.0.1."""
    response = await handler(request)
    response.headers["Allow"] = ", ".join(_methods(request))
    response.headers["Content-Language"] = "en"
    response.headers["Server"] = "spsd"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _methods(request: web.Request) -> list[str]:
    if isinstance(refusal := request.match_info.http_exception, web.HTTPMethodNotAllowed):
        return sorted(refusal.allowed_methods)
    resource = request.match_info.route.resource
    if resource is None:
        return []
    return sorted(route.method for route in resource)
