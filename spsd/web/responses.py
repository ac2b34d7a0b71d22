"""JSON responses, and the header fields that every response has."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import hdrs, web

from spsd.web.contract import JSON, SCHEMA_REF, Field


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object on the wire: with all of these members and no others."""


def one_of(*shapes: type[Shape]) -> msgspec.Meta:
    """The annotation of a member with one of several shapes; msgspec has no untagged unions.

    The operation must name the shapes in ``SuccessResponse.nested``, so that they are described.
    """
    references = [{"$ref": SCHEMA_REF.format(name=shape.__name__)} for shape in shapes]
    return msgspec.Meta(extra_json_schema={"anyOf": references})


DateTime = Annotated[
    str,
    msgspec.Meta(
        description="ISO 8601 in whole seconds, with the offset +00:00.",
        extra_json_schema={"format": "date-time"},
    ),
]


def date_time(seconds: int) -> str:
    """Seconds since the epoch, as :data:`DateTime`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


COMMON_FIELDS = (
    Field(hdrs.ALLOW, "The methods of this resource.", required=True),
    Field(hdrs.CONTENT_LANGUAGE, "Always `en`.", {"type": "string", "enum": ["en"]}, required=True),
)
"""On every response. [documented] 6.0.1; also Content-Type, which OpenAPI has in ``content``."""


def respond(content: Shape, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A JSON response with ``content``."""
    return json_response(msgspec.json.encode(content), status=status)


def json_response(document: bytes, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A response with ``document``, which is encoded JSON."""
    return web.Response(body=document, status=status, content_type=JSON)


async def set_common_fields(request: web.Request, response: web.StreamResponse) -> None:
    """Set the header fields of every response. Allow and Content-Language are [documented] 6.0.1.

    A signal handler (``on_response_prepare``), called before the head is sent.
    """
    set_fields(response, allow=", ".join(_methods(request)))


def set_fields(response: web.StreamResponse, *, allow: str) -> None:
    """Set the header fields of every response; ``allow`` lists the methods of the resource."""
    response.headers[hdrs.ALLOW] = allow
    response.headers[hdrs.CONTENT_LANGUAGE] = "en"
    response.headers[hdrs.SERVER] = "spsd"
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"


def _methods(request: web.Request) -> list[str]:
    if isinstance(error := request.match_info.http_exception, web.HTTPMethodNotAllowed):
        return sorted(error.allowed_methods)
    resource = request.match_info.route.resource
    if resource is None:
        return []
    return sorted(route.method for route in resource)
