"""A form's parts as they arrive (RFC 7578), in constant memory and without I/O.

aiohttp's own reader is not used: malformed bodies make it raise half a dozen kinds of error, its
assertions among them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from spsd.errors import InvalidRequestBodyError

HEAD_LIMIT = 16 * 1024
"""Longest line in the head of a part, in bytes."""

BOUNDARY_LIMIT = 70
"""RFC 2046, section 5.1.1."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's head; ``encoding`` is in lower case."""

    name: str
    encoding: str


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part that began last."""

    content: bytes


Event = PartBegins | PartData


class FormParser:
    """Feed it the body, then close it.

    Raises:
        InvalidRequestBodyError: from any method; the body is no form with that boundary.
    """

    def __init__(self, content_type: str) -> None:
        value, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        if value != "multipart/form-data" or not 0 < len(boundary) <= BOUNDARY_LIMIT:
            raise _malformed("its content type must be multipart/form-data with a boundary")
        with _as_refusals():
            self._parser = PushMultipartParser(boundary, max_header_size=HEAD_LIMIT)

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What the next piece of the body means; must be used up before the next one is fed."""
        if not piece:
            return  # to the parser that would be the end
        with _as_refusals():
            for event in self._parser.parse(piece):
                match event:
                    case MultipartSegment():
                        encoding = event.header("Content-Transfer-Encoding", "binary")
                        yield PartBegins(event.name or "", str(encoding).strip().lower())
                    case bytes() | bytearray() if event:
                        yield PartData(bytes(event))
                    case _:
                        pass  # the end of a part says nothing that the next head does not

    def close(self) -> None:
        """The body is over; it must have been whole."""
        with _as_refusals():
            self._parser.close()


@contextmanager
def _as_refusals() -> Iterator[None]:
    try:
        yield
    except MultipartError as error:
        raise _malformed(str(error.args[0])) from error


def _malformed(why: str) -> InvalidRequestBodyError:
    return InvalidRequestBodyError(f"The form cannot be read: {why}.")
