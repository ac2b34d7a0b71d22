"""Answers as JSON, with the header fields that every one of them has."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import hdrs, web

from spsd.web.contract import JSON, SCHEMA_REF, Field


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object on the wire: these members and no others."""


def one_of(*shapes: type[Shape]) -> msgspec.Meta:
    """Mark a member that has one of several shapes; msgspec describes no untagged unions.

    The operation's answer must name them as ``inside``, so that they are described.
    """
    references = [{"$ref": SCHEMA_REF.format(name=shape.__name__)} for shape in shapes]
    return msgspec.Meta(extra_json_schema={"anyOf": references})


DateTime = Annotated[
    str,
    msgspec.Meta(
        description="ISO 8601, whole seconds, with the offset +00:00.",
        extra_json_schema={"format": "date-time"},
    ),
]


def date_time(seconds: int) -> str:
    """Seconds since the epoch, as :data:`DateTime`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


EVERYWHERE = (
    Field(hdrs.ALLOW, "The methods of this resource.", required=True),
    Field(hdrs.CONTENT_LANGUAGE, "Always `en`.", {"type": "string", "enum": ["en"]}, required=True),
)
"""On every response. [documented] 6.0.1; so is Content-Type, which OpenAPI tells elsewhere."""


def respond(content: Shape, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A JSON response."""
    return encoded(msgspec.json.encode(content), status=status)


def encoded(document: bytes, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A response of JSON as it stands."""
    return web.Response(body=document, status=status, content_type=JSON)


async def common_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Before its head is sent. Allow and Content-Language are on every one. [documented] 6.0.1."""
    response.headers[hdrs.ALLOW] = ", ".join(_methods(request))
    response.headers[hdrs.CONTENT_LANGUAGE] = "en"
    response.headers[hdrs.SERVER] = "spsd"
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"


def _methods(request: web.Request) -> list[str]:
    if isinstance(refusal := request.match_info.http_exception, web.HTTPMethodNotAllowed):
        return sorted(refusal.allowed_methods)
    resource = request.match_info.route.resource
    if resource is None:
        return []
    return sorted(route.method for route in resource)
