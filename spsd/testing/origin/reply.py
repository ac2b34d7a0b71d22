"""A reply as a value: what is sent, how it is framed, and how it ends."""

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
    """What is told about an object: its size and its validators (RFC 9110 section 8)."""

    size: int
    etag: str
    last_modified: str
    content_type: str


class Ending(Enum):
    """What becomes of the connection when the reply has been sent."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """All there is to do for one request, as a value; only the Date comes with the sending."""

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
        """Return the status line and the fields, up to and including the empty line."""
        known = self.status in HTTPStatus.__members__.values()
        phrase = HTTPStatus(self.status).phrase if known else "Unheard Of"
        fields = {"Date": date, **self.headers}
        lines = [f"{self.version} {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def portion(entity: Entity, selection: Selection) -> Reply:
    """Return the honest reply with this part of the object (RFC 9110 sections 14.4 and 15.5.17)."""
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": entity.content_type,
        "ETag": entity.etag,
        "Last-Modified": entity.last_modified,
    }
    match selection:
        case Full():
            return framed(200, headers, (Span(0, entity.size),))
        case Part(start, stop):
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entity.size}"
            return framed(206, headers, (Span(start, stop - start),))
        case Unsatisfiable():
            return framed(416, {"Content-Range": f"bytes */{entity.size}"}, ())
        case _:
            assert_never(selection)


def framed(status: int, headers: Headers, body: Body) -> Reply:
    """Return a reply whose Content-Length is that of its body."""
    return Reply(status, {**headers, "Content-Length": str(total(body))}, body)


def unframed(reply: Reply) -> Reply:
    """Return the reply with the end of the connection as the end of its body, as in HTTP/1.0."""
    headers = {**without(reply.headers, "Content-Length"), "Connection": "close"}
    return replace(reply, headers=headers, version="HTTP/1.0", ending=Ending.CLOSE)


def chunked(reply: Reply) -> Reply:
    """Return the reply in the chunked transfer coding (RFC 9112 section 7.1)."""
    headers = {**without(reply.headers, "Content-Length"), "Transfer-Encoding": "chunked"}
    return replace(reply, headers=headers, chunked=True)


def without(headers: Headers, *names: str) -> Headers:
    """Return the fields but for those of these names."""
    return {name: value for name, value in headers.items() if name not in names}


def rejection(status: int) -> Reply:
    """Return the reply to what is no request."""
    return framed(status, {"Connection": "close"}, ())
