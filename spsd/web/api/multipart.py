"""An incremental parser of ``multipart/form-data`` (RFC 7578).

It needs constant memory and does no I/O. aiohttp's own reader is not used, because malformed bodies
make it raise errors of several unrelated types, ``AssertionError`` among them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from spsd.errors import InvalidRequestBodyError

HEADER_LINE_LIMIT = 16 * 1024
"""Longest header line of a part, in bytes."""
BOUNDARY_LIMIT = 70
"""Longest boundary, in characters (RFC 2046 section 5.1.1)."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    """The header of a part was read.

    ``name`` is empty if the part has no name; ``encoding`` is its ``Content-Transfer-Encoding`` in
    lower case, ``binary`` by default.
    """

    name: str
    encoding: str


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the part whose ``PartBegins`` came last; never empty."""

    content: bytes


Event = PartBegins | PartData


class FormParser:
    """Parses one form: call ``feed`` for each piece of the body, then ``close``.

    Raises:
        InvalidRequestBodyError: from each method, the constructor included; the content type has
            no usable boundary, or the body is not a form with this boundary.
    """

    def __init__(self, content_type: str) -> None:
        # RFC 7578 section 4.1: the boundary is a required parameter. RFC 2046 section 5.1.1: it has
        # 1 to 70 characters of ASCII.
        value, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        is_boundary = boundary.isascii() and 0 < len(boundary) <= BOUNDARY_LIMIT
        if value != "multipart/form-data" or not is_boundary:
            raise _malformed("its content type must be multipart/form-data with a boundary")
        with _parser_errors_as_invalid_body():
            self._parser = PushMultipartParser(boundary, max_header_size=HEADER_LINE_LIMIT)

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events of the next piece; consume them all before the next call."""
        if not piece:
            return  # an empty piece means the end of the body to the parser
        with _parser_errors_as_invalid_body():
            for event in self._parser.parse(piece):
                match event:
                    case MultipartSegment():
                        # RFC 7578 section 4.7 deprecates the field. It is passed on, so that a
                        # part with encoded content can be refused.
                        encoding = event.header("Content-Transfer-Encoding", "binary")
                        yield PartBegins(event.name or "", str(encoding).strip().lower())
                    case bytes() | bytearray() if event:
                        yield PartData(bytes(event))
                    case _:
                        pass  # the end of a part: the next PartBegins implies it

    def close(self) -> None:
        """State the end of the body; the form must be complete."""
        with _parser_errors_as_invalid_body():
            self._parser.close()


@contextmanager
def _parser_errors_as_invalid_body() -> Iterator[None]:
    try:
        yield
    except MultipartError as error:
        raise _malformed(str(error.args[0])) from error


def _malformed(why: str) -> InvalidRequestBodyError:
    return InvalidRequestBodyError(f"The form cannot be read: {why}.")
