"""A form's parts as they arrive (RFC 7578, RFC 2046), in constant memory and without I/O.

Bytes go in, in pieces cut anywhere; what they mean comes out. aiohttp's own reader is not used:
malformed bodies make it raise half a dozen kinds of error, its assertions among them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from spsd.domain.errors import InvalidRequestBodyError

HEAD_LIMIT = 16 * 1024
"""Longest head of a part, in bytes."""

_LINE_END = b"\r\n"
_REST_OF_LINE = re.compile(rb"[ \t]{0,256}\r\n")
_UNFINISHED_LINE = re.compile(rb"-?|[ \t]{0,256}\r?")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = re.compile(rf"\s*({_WORD}(?:/{_WORD})?)\s*", re.ASCII)
_PARAMETER = re.compile(
    rf';\s*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*)?', re.ASCII
)
_QUOTED_PAIR = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's head; ``name`` is None if it has none, ``encoding`` is in lower case."""

    name: str | None
    encoding: str


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part that began last."""

    content: bytes


Event = PartBegins | PartData


class _Where(Enum):
    PREAMBLE = auto()
    DELIMITER = auto()
    HEAD = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class FormParser:
    """Feed it the body, then close it.

    Raises:
        InvalidRequestBodyError: from any method; the body is no form with that boundary.
    """

    def __init__(self, content_type: str) -> None:
        value, parameters = parse_header(content_type)
        boundary = parameters.get("boundary", "")
        if value != "multipart/form-data" or _BOUNDARY.fullmatch(boundary) is None:
            raise _malformed("its content type must be multipart/form-data with a boundary")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first delimiter may be the very beginning, with no line end before it.
        self._buffer = bytearray(_LINE_END)
        self._lead = 0
        self._where = _Where.PREAMBLE

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What the next piece of the body means; must be used up before the next one is fed."""
        self._buffer += piece
        more = True
        while more:
            match self._where:
                case _Where.PREAMBLE | _Where.CONTENT:
                    content, more = self._until_delimiter()
                    if self._where is _Where.CONTENT and (content := self._without_lead(content)):
                        yield PartData(content)
                    if more:
                        self._where = _Where.DELIMITER
                case _Where.DELIMITER:
                    more = self._after_delimiter()
                case _Where.HEAD:
                    head = self._head()
                    more = head is not None
                    if head is not None:
                        self._where, self._lead = _Where.CONTENT, len(_LINE_END)
                        yield _part(head)
                case _Where.EPILOGUE:
                    self._buffer.clear()
                    more = False
                case _:
                    assert_never(self._where)

    def close(self) -> None:
        """The body is over; it must have been whole."""
        if self._where is not _Where.EPILOGUE:
            raise _malformed("it ends before its last boundary")

    def _until_delimiter(self) -> tuple[bytes, bool]:
        """The bytes before the next delimiter, or as many as can be no part of one."""
        found = self._buffer.find(self._delimiter)
        if found >= 0:
            return self._cut(found, len(self._delimiter)), True
        return self._cut(max(0, len(self._buffer) - len(self._delimiter) + 1), 0), False

    def _after_delimiter(self) -> bool:
        if self._buffer.startswith(b"--"):
            self._where = _Where.EPILOGUE
            return True
        if (rest := _REST_OF_LINE.match(self._buffer)) is not None:
            # The line end stays: a head may have no lines at all, only the empty one after it.
            self._cut(0, rest.end() - len(_LINE_END))
            self._where = _Where.HEAD
            return True
        if _UNFINISHED_LINE.fullmatch(self._buffer) is None:
            raise _malformed("something follows a boundary on its line")
        return False

    def _head(self) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_LIMIT)
        if end < 0:
            if len(self._buffer) >= HEAD_LIMIT:
                raise _malformed(f"the head of a part is longer than {HEAD_LIMIT} bytes")
            return None
        # The second line end stays: it may begin the delimiter, in a part without a body.
        return self._cut(end, len(_LINE_END))

    def _without_lead(self, content: bytes) -> bytes:
        """Without what is left of the line end between head and body."""
        lead = min(self._lead, len(content))
        self._lead -= lead
        return content[lead:]

    def _cut(self, size: int, more: int) -> bytes:
        """Take ``size`` bytes off the buffer and drop ``more`` after them."""
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[: size + more]
        return taken


def parse_header(text: str) -> tuple[str, dict[str, str]]:
    """A value in lower case and its parameters; what is malformed is an empty value."""
    value = _VALUE.match(text)
    if value is None:
        return "", {}
    parameters: dict[str, str] = {}
    at = value.end()
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            return "", {}
        if parameter[1] is not None:
            quoted, plain = parameter[2], parameter[3]
            # Browsers escape by percent, curl by backslash; neither occurs in a name of ours.
            value_of = _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else plain
            parameters.setdefault(parameter[1].lower(), value_of)
        at = parameter.end()
    return value[1].lower(), parameters


def _part(head: bytes) -> PartBegins:
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", errors="replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise _malformed("the head of a part has a line that is no field")
        fields.setdefault(name.strip().lower(), value.strip())
    disposition, parameters = parse_header(fields.get("content-disposition", ""))
    return PartBegins(
        parameters.get("name") if disposition == "form-data" else None,
        fields.get("content-transfer-encoding", "binary").lower(),
    )


def _malformed(why: str) -> InvalidRequestBodyError:
    return InvalidRequestBodyError(f"The form cannot be read: {why}.")
