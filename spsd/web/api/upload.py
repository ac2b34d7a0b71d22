"""``/api/upload/firmware``: the image is the body, or the file part of a form."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, assert_never

from aiohttp import hdrs, web
from msgspec import Meta

from spsd.errors import (
    ChecksumMismatchError,
    IncompleteRequestBodyError,
    InsufficientStorageError,
    InvalidRequestBodyError,
    NoEmptySlotError,
    NotAnImageError,
    RequestTimeoutError,
    StorageFailedError,
)
from spsd.slots.model import InstalledImage
from spsd.slots.service import Slots
from spsd.slots.upload import Uploads
from spsd.transfer.rules.stall import RateMonitor
from spsd.web.api.digest_fields import REPR_DIGEST, X_CHECKSUM, expected_digest
from spsd.web.api.multipart import FormParser, PartBegins, PartData
from spsd.web.api.slot_json import Running, SlotBody, empty_slots, image_body
from spsd.web.api.slots import SLOT_STORE
from spsd.web.contract import Access, Field, Link, Operation, RequestBody, SuccessResponse
from spsd.web.limits import LIMITS
from spsd.web.links import TEST, UPGRADE, UPLOAD, slot_path
from spsd.web.middleware.audit import Event, audited
from spsd.web.requests import ContentDecoder, content_coding, send_continue
from spsd.web.responses import Shape, respond

UPLOADS = web.AppKey("uploads", Uploads)
PART = "firmware"
"""The name of the form's part with the image."""
BLOCK = 1024 * 1024
"""Minimum size of a block in bytes; each block is one write and one hash update."""
SLOWEST_BYTES_PER_S = 1024
"""Minimum rate: a slow client blocks a slot for others. Downloads have the same default."""


class UploadedMeta(Shape):
    """The slot of the image, and links to the next steps; no parent. [seen in sample]."""

    href: str
    slot: str
    test: str
    upgrade: str
    number_of_empty_slots: Annotated[int, Meta(ge=0, description="Number of empty slots.")]


class Uploaded(Shape):
    """An uploaded image."""

    body: SlotBody
    key: Annotated[str, Meta(description="The number of the slot with the image.")]
    meta: UploadedMeta


async def receive(request: web.Request) -> web.Response:
    """Install the image from the body into an empty slot. 200 [unknown - our choice]."""
    with audited(request, Event.UPLOAD) as subject:
        subject.slot, image = await _install(request)
    return respond(await _uploaded(request.app[SLOT_STORE], subject.slot, image))


async def _install(request: web.Request) -> tuple[int, InstalledImage]:
    expected = expected_digest(
        _combined_field(request, REPR_DIGEST), _combined_field(request, X_CHECKSUM)
    )
    decoder = ContentDecoder(content_coding(request))
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    is_multipart = content_type.strip().lower().startswith("multipart/")
    form = FormParser(content_type) if is_multipart else None
    # With a Content-Encoding the length is that of the compressed body (RFC 9110 section 8.4).
    length = None if hdrs.CONTENT_ENCODING in request.headers else request.content_length
    async with (
        aclosing(_body_pieces(request)) as pieces,
        aclosing(_decoded(pieces, decoder)) as decoded,
        aclosing(_image_bytes(decoded, form)) as content,
        aclosing(_in_blocks(content)) as blocks,
    ):
        return await request.app[UPLOADS].receive(blocks, length=length, expected=expected)


async def _body_pieces(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces of any size, as received.

    Raises:
        RequestTimeoutError: the client sends less than ``SLOWEST_BYTES_PER_S``.
        InvalidRequestBodyError: the client closed the connection before the end of the body.
    """
    idle_s = request.app[LIMITS].upload_idle_s
    try:
        await send_continue(request)
        watch = RateMonitor(
            minimum_bytes_per_s=SLOWEST_BYTES_PER_S, window_s=idle_s, now=time.monotonic()
        )
        while True:
            async with asyncio.timeout(watch.deadline - time.monotonic()):
                piece = await request.content.readany()
            if not piece:
                return
            taken = time.monotonic()
            watch.count(len(piece), taken)
            yield piece
            watch.exclude_time(time.monotonic() - taken)
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"The client sent fewer than {SLOWEST_BYTES_PER_S} bytes per second for {idle_s:g} "
            "seconds, so the upload was aborted and its data deleted. Check the network and upload "
            "again."
        ) from error
    except OSError as error:
        raise InvalidRequestBodyError(
            "The connection was closed before the end of the body; the data of the upload was "
            "deleted."
        ) from error


async def _decoded(
    pieces: AsyncIterator[bytes], decoder: ContentDecoder
) -> AsyncGenerator[bytes, None]:
    """The body without its content coding.

    Raises:
        InvalidRequestBodyError: the body does not have this coding.
    """
    async for piece in pieces:
        for decoded in decoder.feed(piece):
            yield decoded
    decoder.close()


async def _image_bytes(
    pieces: AsyncIterator[bytes], form: FormParser | None
) -> AsyncGenerator[bytes, None]:
    """The bytes of the image: the whole body, or the content of the form's part ``PART``.

    Other parts are ignored.

    Raises:
        InvalidRequestBodyError: the form is malformed, or its part cannot be used.
        IncompleteRequestBodyError: the form has no such part.
    """
    image_found = in_image = False
    async for piece in pieces:
        if form is None:
            yield piece
            continue
        for event in form.feed(piece):
            match event:
                case PartBegins():
                    in_image = _is_image(event, image_found=image_found)
                    image_found = image_found or in_image
                case PartData(content=content):
                    if in_image:
                        yield content
                case _:
                    assert_never(event)
    if form is None:
        return
    form.close()
    if not image_found:
        raise IncompleteRequestBodyError(
            f"The form must have a file part with the name `{PART}`.", field=PART
        )


def _is_image(part: PartBegins, *, image_found: bool) -> bool:
    if part.name != PART:
        return False
    # RFC 7578 section 4.3 allows several files under one name; an upload is exactly one image.
    if image_found:
        raise InvalidRequestBodyError(
            f"The form has more than one part with the name `{PART}`.", field=PART
        )
    # RFC 2045 section 6.2: these three encodings do not change the bytes.
    if part.encoding not in ("binary", "8bit", "7bit"):
        raise InvalidRequestBodyError(
            f"The part `{PART}` must contain the unencoded bytes of the image, without a "
            "Content-Transfer-Encoding.",
            field=PART,
        )
    return True


async def _in_blocks(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in blocks of at least ``BLOCK`` bytes; the last one may be smaller."""
    block = bytearray()
    async for piece in pieces:
        block += piece
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def _uploaded(slots: Slots, slot: int, image: InstalledImage) -> Uploaded:
    # `after_reboot` is false in this response. [documented]; a sample contradicts.
    body = image_body(slot, image, Running(slots.current, None))
    meta = UploadedMeta(
        href=UPLOAD,
        slot=slot_path(slot),
        test=TEST,
        upgrade=UPGRADE,
        number_of_empty_slots=empty_slots(await slots.list()),
    )
    return Uploaded(body, str(slot), meta)


def _combined_field(request: web.Request, name: str) -> str | None:
    # RFC 9110 section 5.3: several lines of one field are equivalent to one line with commas.
    lines = request.headers.getall(name, [])
    return ", ".join(lines) if lines else None


_BYTES = {"type": "string", "format": "binary", "minLength": 1}
_FORM = {"type": "object", "properties": {PART: _BYTES}, "required": [PART]}
_SLOT = {"slot": "$response.body#/key"}
_SLOT_ID = {"slot_id": "$response.body#/key"}
OPERATIONS = (
    Operation(
        name="uploadImage",
        method=hdrs.METH_POST,
        path=UPLOAD,
        handler=receive,
        tag="Upload",
        summary="Upload an image into an empty slot",
        notes="The image is the request body, with any content type other than `multipart/…`, or "
        "the file part `firmware` of a form. The response is sent when the image is verified and "
        "installed. Both header fields state the digest of the image, also in a form. A client "
        "that sends `Expect: 100-continue` receives a refusal before it sends the image.",
        access=Access.ADMIN,
        request_body=RequestBody(
            media_types={
                "application/x-iso9660-image": _BYTES,
                "application/octet-stream": _BYTES,
                "multipart/form-data": _FORM,
            }
        ),
        headers=(
            Field(
                REPR_DIGEST,
                "RFC 9530. The member `sha-256` is verified; other algorithms are ignored.",
                {"type": "string", "format": "repr-digest"},
            ),
            Field(
                X_CHECKSUM,
                "SHA-256 of the image, 64 hexadecimal digits.",
                {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"},
            ),
        ),
        success=SuccessResponse(Uploaded, meaning="The image is installed in a slot."),
        errors=(
            IncompleteRequestBodyError,
            ChecksumMismatchError,
            NotAnImageError,
            NoEmptySlotError,
            RequestTimeoutError,
            InsufficientStorageError,
            StorageFailedError,
        ),
        links=(
            Link("getSlot", _SLOT),
            Link("emptySlot", _SLOT),
            Link("testSlot", body=_SLOT_ID),
            Link("upgrade", body=_SLOT_ID),
        ),
    ),
)
