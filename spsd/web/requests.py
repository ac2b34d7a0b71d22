"""Request bodies: JSON whatever the content type says [inferred], and ``Expect``.

A refusal comes before the client has sent its bytes where the client waits for it (RFC 9110,
section 10.1.1).
"""

import asyncio
import re
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
    RequestTimeoutError,
)
from spsd.transfer.rules.url import MIRROR_LIMIT, distinct_mirrors, parse_source_url
from spsd.web.limits import LIMITS

_CONTINUE = "100-continue"


async def later(_: web.Request) -> None:
    """A route's ``expect_handler``: nothing is promised before the request has been looked at."""


@web.middleware
async def expectation(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what nobody can meet.

    Raises:
        ExpectationFailedError: another expectation than 100-continue.
    """
    asked = _expected(request)
    if asked is not None and asked.lower() != _CONTINUE:
        raise ExpectationFailedError(f"The expectation {asked!r} cannot be met, only {_CONTINUE}.")
    return await handler(request)


async def close_unless_read(request: web.Request, response: web.StreamResponse) -> None:
    """After an answer that did not wait for the whole body nothing else can be read."""
    if not request.content.is_eof():
        response.headers[hdrs.CONNECTION] = "close"
        response.force_close()


async def go_ahead(request: web.Request) -> None:
    """The body is wanted: say so, if the client waits to hear it."""
    if _expected(request) is not None:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What aiohttp counts is the answer's own length.
        request.writer.output_size = 0


def _expected(request: web.Request) -> str | None:
    # An HTTP/1.0 client cannot wait for what its protocol does not have.
    return request.headers.get(hdrs.EXPECT) if request.version >= HttpVersion11 else None


T = TypeVar("T", bound=msgspec.Struct)


class Checksum(msgspec.Struct, forbid_unknown_fields=True):
    """Only sha256 is accepted. [documented]."""

    sha256: Annotated[
        str,
        Meta(
            description="SHA-256 of the image, 64 hexadecimal digits.",
            examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
            extra_json_schema={"pattern": "^[0-9A-Fa-f]{64}$"},
        ),
    ]


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """What to download, and its only proof."""

    url: Annotated[
        str,
        Meta(
            description="Where the image is: http or https, at most 8192 characters.",
            examples=["https://images.example.org/appliance-2.iso"],
            extra_json_schema={"format": "uri"},
        ),
    ]
    checksum: Checksum
    mirrors: Annotated[
        list[Annotated[str, Meta(extra_json_schema={"format": "uri"})]],
        Meta(
            max_length=MIRROR_LIMIT,
            description="Where else the same image is, each as `url` is; asked in this order when "
            "`url` fails. What is named twice counts once. A member of spsd's own.",
            examples=[["https://mirror.example.org/appliance-2.iso"]],
        ),
    ] = []

    def parsed(self) -> tuple[str, Sha256, tuple[str, ...]]:
        """The URL, the digest, and the mirrors without repetitions.

        Raises:
            InvalidRequestBodyError: one of them is wrong; the error names it.
        """
        url = parse_source_url(self.url, field="url")
        mirrors = [
            parse_source_url(mirror, field=f"mirrors[{number}]")
            for number, mirror in enumerate(self.mirrors)
        ]
        sha256 = parse_sha256(self.checksum.sha256, field="checksum.sha256")
        return url, sha256, distinct_mirrors(url, mirrors)


SlotId = Annotated[
    # Not int: 2.0 is the integer 2 (JSON Schema, section 4.2.3), and is documented as a number.
    Annotated[float, Meta(ge=1, le=9999, multiple_of=1)]
    | Annotated[str, Meta(pattern="^[1-9][0-9]{0,3}$")],
    Meta(description="The slot's number; digits in a string are taken as well.", examples=[2]),
]


class TestOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Which slot to test."""

    __test__ = False  # no test of pytest's

    slot_id: SlotId


class UpgradeOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Which slot to boot, and why."""

    slot_id: SlotId
    message: Annotated[str | None, Meta(description="For the log; null and nothing are one.")] = (
        None
    )


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The request's body as a value of ``kind``.

    Raises:
        IncompleteRequestBodyError: a required member is missing; the error names it.
        InvalidRequestBodyError: the body is no JSON object, or a member is wrong; it names it;
            or the client has gone.
        RequestTimeoutError: it is not whole in time, see :class:`WebLimits`.
    """
    await go_ahead(request)
    limit_s = request.app[LIMITS].whole_s
    try:
        async with asyncio.timeout(limit_s):
            body = await request.read()
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"The body was not whole after {limit_s:g} seconds. Check the network and ask again."
        ) from error
    except OSError as error:
        raise InvalidRequestBodyError("The connection ended before the body did.") from error
    return decoded(body, kind)


_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$\.(.*)`)?", re.DOTALL)


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as a value of ``kind``; errors as in :func:`read_json`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        if (missing := _MISSING.fullmatch(str(error))) is not None:
            name, inside = missing.groups()
            field = f"{inside}.{name}" if inside else name
            raise IncompleteRequestBodyError(
                f"The body must have the member `{field}`.", field=field
            ) from error
        raise InvalidRequestBodyError(f"The body cannot be used: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestBodyError(f"The body cannot be used: {error}.") from error
