"""A response as a value, before it is sent: status, fields, body, framing and end."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import TypeAlias, assert_never

from spsd.testing.origin.acts import Drip
from spsd.testing.origin.body import Body, Span, total
from spsd.testing.origin.ranges import Full, Part, Selection, Unsatisfiable

Headers: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """The metadata of an object: size, validators and media type (RFC 9110 section 8)."""

    size: int
    etag: str
    last_modified: str
    content_type: str


class Ending(Enum):
    """What happens to the connection after the response."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()
    """The connection stays open, without another byte, until the client closes it."""


@dataclass(frozen=True, slots=True)
class Response:
    """Everything that is sent for one request, except the Date field.

    ``delay_s`` is a pause before the head; ``drip`` sets the size and the interval of body writes.
    """

    status: int
    headers: Headers
    body: Body = ()
    version: str = "HTTP/1.1"
    chunked: bool = False
    gzip: bool = False
    ending: Ending = Ending.KEEP
    delay_s: float = 0.0
    drip: Drip | None = None

    def head(self, date: str) -> bytes:
        """Return the status line and the fields, with the empty line that ends them."""
        known = self.status in HTTPStatus.__members__.values()
        phrase = HTTPStatus(self.status).phrase if known else "Unheard Of"
        fields = {"Date": date, **self.headers}
        lines = [f"{self.version} {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def object_response(entity: Entity, selection: Selection) -> Response:
    """Return the correct response with this part of the object.

    It is 200, 206 (RFC 9110 section 14.4) or 416 (section 15.5.17).
    """
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": entity.content_type,
        "ETag": entity.etag,
        "Last-Modified": entity.last_modified,
    }
    match selection:
        case Full():
            return sized(200, headers, (Span(0, entity.size),))
        case Part(start, stop):
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entity.size}"
            return sized(206, headers, (Span(start, stop - start),))
        case Unsatisfiable():
            return sized(416, {"Content-Range": f"bytes */{entity.size}"}, ())
        case _:
            assert_never(selection)


def sized(status: int, headers: Headers, body: Body) -> Response:
    """Return a response with the Content-Length of this body."""
    return Response(status, {**headers, "Content-Length": str(total(body))}, body)


def unsized(response: Response) -> Response:
    """Return the response as HTTP/1.0, where the end of the connection ends the body."""
    headers = {**without_fields(response.headers, "Content-Length"), "Connection": "close"}
    return replace(response, headers=headers, version="HTTP/1.0", ending=Ending.CLOSE)


def chunked(response: Response) -> Response:
    """Return the response in the chunked transfer coding (RFC 9112 section 7.1)."""
    headers = {**without_fields(response.headers, "Content-Length"), "Transfer-Encoding": "chunked"}
    return replace(response, headers=headers, chunked=True)


def without_fields(headers: Headers, *names: str) -> Headers:
    """Return the fields except those with these names."""
    return {name: value for name, value in headers.items() if name not in names}


def rejection(status: int) -> Response:
    """Return the response to bytes that are not a request."""
    return sized(status, {"Connection": "close"}, ())
