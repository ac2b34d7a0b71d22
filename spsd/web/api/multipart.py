"""An upload's form parts as they arrive (RFC 7578), and the header fields that carry its digest.

The parts are read in constant memory and without I/O. aiohttp's own reader is not used: malformed
bodies make it raise half a dozen kinds of error, its assertions among them.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from spsd.digest import Sha256, parse_sha256
from spsd.errors import InvalidRequestBodyError

REPR_DIGEST = "Repr-Digest"
X_CHECKSUM = "X-Checksum-Sha256"
# A dictionary of byte sequences (RFC 9530 section 2, RFC 8941 sections 3.2 and 3.3.5); what a
# parameter means to others is nothing to us.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_PARAMETER = rf' *; *{_KEY}(?:=(?:"(?:[^"\\]|\\.)*"|[^",;\s]+))?'
_MEMBER = re.compile(rf"({_KEY})=:([A-Za-z0-9+/=]*):(?:{_PARAMETER})*", re.ASCII)
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_SHA256_BYTES = 32


def expected_digest(repr_digest: str | None, x_checksum: str | None) -> Sha256 | None:
    """The digest that the fields ask for; None if there is none of SHA-256.

    Raises:
        InvalidRequestBodyError: a field cannot be read, or they differ.
    """
    standard = None if repr_digest is None else parse_repr_digest(repr_digest)
    plain = None if x_checksum is None else parse_sha256(x_checksum, field=X_CHECKSUM)
    if standard is not None and plain is not None and standard != plain:
        raise InvalidRequestBodyError(
            f"`{REPR_DIGEST}` and `{X_CHECKSUM}` ask for different digests: {standard} and "
            f"{plain}.",
            field=REPR_DIGEST,
        )
    return standard or plain


def parse_repr_digest(field: str) -> Sha256 | None:
    """The member ``sha-256`` of the dictionary; None if only other algorithms are named.

    Raises:
        InvalidRequestBodyError: it is no such dictionary, or the member is no SHA-256.
    """
    encoded = _members(field.strip(" \t")).get("sha-256")
    if encoded is None:
        return None
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise _invalid("its member `sha-256` is no base64") from error
    if len(digest) != _SHA256_BYTES:
        raise _invalid(f"its member `sha-256` has {len(digest)} bytes instead of {_SHA256_BYTES}")
    return Sha256(digest.hex())


def _members(field: str) -> dict[str, str]:
    """The members as they stand; of one named twice the last counts, as RFC 8941 has it."""
    members: dict[str, str] = {}
    at = 0
    while at < len(field):
        member = _MEMBER.match(field, at)
        if member is None:
            raise _invalid("it is no dictionary of byte sequences")
        members[member[1]] = member[2]
        at = member.end()
        if at < len(field):
            comma = _COMMA.match(field, at)
            if comma is None or comma.end() == len(field):
                raise _invalid("it is no dictionary of byte sequences")
            at = comma.end()
    return members


def _invalid(why: str) -> InvalidRequestBodyError:
    return InvalidRequestBodyError(
        f"`{REPR_DIGEST}` cannot be used: {why}. RFC 9530 wants `sha-256=:BASE64:`.",
        field=REPR_DIGEST,
    )


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
