"""Request bodies, which are JSON with any content type [inferred], and the field ``Expect``.

A client that sends ``Expect: 100-continue`` waits for 100 (Continue) before it sends the body, so
that a refusal saves the transfer (RFC 9110 section 10.1.1). The steps:

1. :func:`defer_continue`: nothing is sent when the head has been received.
2. :func:`expectation`: another expectation is refused with 417.
3. :func:`send_continue`: a handler that reads the body sends 100 first.
4. :func:`close_after_unread_body`: after a response without the whole body, the connection closes.
"""

import asyncio
import re
import zlib
from collections.abc import Iterator
from typing import Annotated, TypeVar

import msgspec
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from msgspec import Meta

from spsd.digest import Sha256, parse_sha256
from spsd.errors import (
    ExpectationFailedError,
    IncompleteRequestBodyError,
    InvalidRequestBodyError,
    RequestBodyTooLargeError,
    RequestTimeoutError,
    UnsupportedContentCodingError,
)
from spsd.transfer.rules.url import MIRROR_LIMIT, distinct_mirrors, parse_source_url
from spsd.web.limits import LIMITS

_CONTINUE = "100-continue"


async def defer_continue(_: web.Request) -> None:
    """The ``expect_handler`` of each route: sends nothing, because the request may be refused.

    aiohttp's own handler sends 100 (Continue) before the session has been checked.
    """


@web.middleware
async def expectation(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse unknown expectations.

    Raises:
        ExpectationFailedError: ``Expect`` has another value than 100-continue.
    """
    expected = _expectation(request)
    # RFC 9110 section 10.1.1: the value is case-insensitive, and any other may be refused.
    if expected is not None and expected.lower() != _CONTINUE:
        raise unknown_expectation()
    return await handler(request)


def unknown_expectation() -> ExpectationFailedError:
    """The error for another value of ``Expect``; aiohttp finds it first where no route matches."""
    return ExpectationFailedError(f"The only expectation that is supported is {_CONTINUE}.")


async def close_after_unread_body(request: web.Request, response: web.StreamResponse) -> None:
    """Close the connection after a response that is sent before the end of the request body.

    The rest of the body would be read as the next request (RFC 9112 section 9.3).
    """
    if not request.content.is_eof():
        response.headers[hdrs.CONNECTION] = "close"
        response.force_close()


async def send_continue(request: web.Request) -> None:
    """Send 100 (Continue) if the client expects it; call it before the body is read."""
    if _expectation(request) is not None:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp counts only the bytes of the final response.
        request.writer.output_size = 0


def _expectation(request: web.Request) -> str | None:
    # RFC 9110 section 10.1.1: 100-continue in an HTTP/1.0 request must be ignored.
    return request.headers.get(hdrs.EXPECT) if request.version >= HttpVersion11 else None


T = TypeVar("T", bound=msgspec.Struct)


class Checksum(msgspec.Struct, forbid_unknown_fields=True):
    """The expected digest of the image. Only `sha256` is accepted. [documented]."""

    sha256: Annotated[
        str,
        Meta(
            description="SHA-256 of the image, 64 hexadecimal digits.",
            examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
            extra_json_schema={"pattern": "^[0-9A-Fa-f]{64}$"},
        ),
    ]


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """The image to download, and the SHA-256 by which it is verified."""

    url: Annotated[
        str,
        Meta(
            description="URL of the image: http or https, at most 8192 characters.",
            examples=["https://images.example.org/appliance-2.iso"],
            extra_json_schema={"format": "uri"},
        ),
    ]
    checksum: Checksum
    mirrors: Annotated[
        list[Annotated[str, Meta(extra_json_schema={"format": "uri"})]],
        Meta(
            max_length=MIRROR_LIMIT,
            description="Other URLs of the same image, with the same rules as `url`; tried in "
            "this order when `url` fails. Repeated URLs count once. An extension of spsd.",
            examples=[["https://mirror.example.org/appliance-2.iso"]],
        ),
    ] = []

    def parsed(self) -> tuple[str, Sha256, tuple[str, ...]]:
        """The URL, the digest, and the mirrors without repetitions.

        Raises:
            InvalidRequestBodyError: one of them is invalid; ``details["field"]`` is its name.
        """
        url = parse_source_url(self.url, field="url")
        mirrors = [
            parse_source_url(mirror, field=f"mirrors[{number}]")
            for number, mirror in enumerate(self.mirrors)
        ]
        sha256 = parse_sha256(self.checksum.sha256, field="checksum.sha256")
        return url, sha256, distinct_mirrors(url, mirrors)


SlotId = Annotated[
    # Not int: the member is documented as a number, and 2.0 is the integer 2 (JSON Schema 4.2.3).
    Annotated[float, Meta(ge=1, le=9999, multiple_of=1)]
    | Annotated[str, Meta(pattern="^[1-9][0-9]{0,3}$")],
    Meta(description="Number of the slot; a string of digits is also accepted.", examples=[2]),
]


class TestOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The slot to test."""

    __test__ = False  # not a test class of pytest

    slot_id: SlotId


class UpgradeOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The slot to boot, and a reason for the log."""

    slot_id: SlotId
    message: Annotated[
        str | None, Meta(description="Reason for the upgrade, written to the log; null is none.")
    ] = None


ACCEPT_ENCODING = "gzip, deflate, identity"
"""The content codings that request bodies may have (RFC 9110 section 12.5.3)."""
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
DECODED_PIECE = 64 * 1024
"""Most bytes that are decompressed at a time."""


class ContentDecoder:
    """Decompresses a body piece by piece; the memory that it needs does not depend on the body.

    aiohttp's own decompression is switched off: it refuses an unknown coding before it knows the
    path, and it would decompress the rest of a refused body only to drop it.
    """

    def __init__(self, coding: str) -> None:
        """``coding``: a result of :func:`content_coding`."""
        self._coding = coding
        self._decompress: zlib._Decompress | None = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The decoded bytes, at most :data:`DECODED_PIECE` at a time.

        Raises:
            InvalidRequestBodyError: the body does not have this coding.
        """
        if self._coding == "identity":
            yield piece
            return
        while piece:
            if self._decompress is None or (self._decompress.eof and self._coding != "deflate"):
                # RFC 1952 section 2.2: a gzip file may have several members.
                self._decompress = zlib.decompressobj(self._window_bits(piece))
            if self._decompress.eof:
                raise self._invalid("bytes follow its end")
            full = True
            while full and not self._decompress.eof:
                try:
                    decoded = self._decompress.decompress(piece, DECODED_PIECE)
                except zlib.error as error:
                    raise self._invalid("its bytes have another format") from error
                piece = self._decompress.unconsumed_tail
                full = len(decoded) == DECODED_PIECE or bool(piece)
                if decoded:
                    yield decoded
            piece = self._decompress.unused_data

    def close(self) -> None:
        """State the end of the body.

        Raises:
            InvalidRequestBodyError: the compressed data is not complete.
        """
        if self._coding != "identity" and not (self._decompress and self._decompress.eof):
            raise self._invalid("it ends too early")

    def _window_bits(self, piece: bytes) -> int:
        # Many clients send deflate without the zlib format (RFC 9110 section 8.4.1.2, note). Of
        # that format, the first four bits are 8 (RFC 1950 section 2.2).
        bits = _WINDOW_BITS[self._coding]
        return -bits if self._coding == "deflate" and piece[0] & 0x0F != 8 else bits

    def _invalid(self, why: str) -> InvalidRequestBodyError:
        return InvalidRequestBodyError(f"The body cannot be read as {self._coding}: {why}.")


def content_coding(request: web.Request) -> str:
    """The coding of the body: ``identity``, or one that :class:`ContentDecoder` decodes.

    Raises:
        UnsupportedContentCodingError: it has another one, or several.
    """
    # RFC 9110 section 8.4: the names are case-insensitive; several fields are one list.
    names = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])).split(",")
    codings = [name.strip().lower() for name in names]
    if codings in ([""], ["identity"]):
        return "identity"
    if len(codings) == 1 and codings[0] in _WINDOW_BITS:
        return codings[0]
    raise UnsupportedContentCodingError(
        f"The body has an unknown Content-Encoding; spsd reads one of {ACCEPT_ENCODING}. Send the "
        "body without compression."
    )


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The request body as a value of ``kind``.

    Raises:
        IncompleteRequestBodyError: a required member is missing; ``details["field"]`` is its name.
        InvalidRequestBodyError: the body is not a JSON object of this kind, or the client closed
            the connection before the end of the body.
        RequestBodyTooLargeError: the body is longer than 64 KiB, as sent or decompressed.
        RequestTimeoutError: the body was not complete within ``WebLimits.body_s``.
        UnsupportedContentCodingError: see :func:`content_coding`.
    """
    decoder = ContentDecoder(content_coding(request))
    await send_continue(request)
    limit_s = request.app[LIMITS].body_s
    try:
        async with asyncio.timeout(limit_s):
            body = await request.read()
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"The body was not complete after {limit_s:g} seconds. Check the network and send the "
            "request again."
        ) from error
    except OSError as error:
        raise InvalidRequestBodyError(
            "The connection was closed before the end of the body."
        ) from error
    return decode_json(_decoded(body, decoder, limit=request.client_max_size), kind)


def _decoded(body: bytes, decoder: ContentDecoder, *, limit: int) -> bytes:
    decoded = bytearray()
    for piece in decoder.feed(body):
        decoded += piece
        if len(decoded) > limit:
            raise RequestBodyTooLargeError("The body is longer than 64 KiB when decompressed.")
    decoder.close()
    return bytes(decoded)


_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$\.(.*)`)?", re.DOTALL)


def decode_json(body: bytes, kind: type[T]) -> T:
    """The body as a value of ``kind``.

    Raises:
        IncompleteRequestBodyError, InvalidRequestBodyError: as in :func:`read_json`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        if (missing := _MISSING.fullmatch(str(error))) is not None:
            name, parent = missing.groups()
            field = f"{parent}.{name}" if parent else name
            raise IncompleteRequestBodyError(
                f"The body must have the member `{field}`.", field=field
            ) from error
        raise InvalidRequestBodyError(f"The body is invalid: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestBodyError(f"The body is invalid: {error}.") from error
