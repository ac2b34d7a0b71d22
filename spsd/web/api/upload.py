"""``/api/upload/firmware``: the image as the body, or as a form's file part."""

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
from spsd.transfer.rules.stall import RateWatch
from spsd.web.api.multipart import (
    REPR_DIGEST,
    X_CHECKSUM,
    FormParser,
    PartBegins,
    PartData,
    expected_digest,
)
from spsd.web.api.slot_json import Running, SlotBody, empty_slots, image_body
from spsd.web.api.slots import SLOT_STORE
from spsd.web.contract import Access, Field, Link, Operation, RequestBody, SuccessResponse
from spsd.web.limits import LIMITS
from spsd.web.links import TEST, UPGRADE, UPLOAD, slot_path
from spsd.web.requests import go_ahead
from spsd.web.responses import Shape, respond

UPLOADS = web.AppKey("uploads", Uploads)
PART = "firmware"
BLOCK = 1024 * 1024
"""Pieces are gathered to blocks of about this size: one write and one hash step each."""
SLOWEST_BYTES_PER_S = 1024
"""A client that drips keeps a slot from others; fetches have the same minimum by default."""


class UploadedMeta(Shape):
    """Where the image is now, and what one may do with it; no parent. [seen in sample]."""

    href: str
    slot: str
    test: str
    upgrade: str
    number_of_empty_slots: Annotated[int, Meta(ge=0, description="A count, not a link.")]


class Uploaded(Shape):
    """An image that was uploaded."""

    body: SlotBody
    key: Annotated[str, Meta(description="The number of the slot that holds it.")]
    meta: UploadedMeta


async def receive(request: web.Request) -> web.Response:
    """Install the image that the body brings. 200 [unknown - our choice]."""
    expected = expected_digest(_field(request, REPR_DIGEST), _field(request, X_CHECKSUM))
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    multipart = content_type.strip().lower().startswith("multipart/")
    form = FormParser(content_type) if multipart else None
    # The length of a coded body says nothing about the image.
    length = None if hdrs.CONTENT_ENCODING in request.headers else request.content_length
    async with (
        aclosing(_arriving(request)) as pieces,
        aclosing(_content(pieces, form)) as content,
        aclosing(_gathered(content)) as blocks,
    ):
        slot, image = await request.app[UPLOADS].receive(blocks, length=length, expected=expected)
    return respond(await _told(request.app[SLOT_STORE], slot, image))


async def _arriving(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces as they come.

    Raises:
        RequestTimeoutError: the client sends nothing any more, or too little.
        InvalidRequestBodyError: the client has gone.
    """
    idle_s = request.app[LIMITS].upload_idle_s
    try:
        await go_ahead(request)
        watch = RateWatch(
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
            f"Fewer than {SLOWEST_BYTES_PER_S} bytes a second came for {idle_s:g} seconds, so the "
            "upload was dropped; nothing of it is kept. Check the network and upload again."
        ) from error
    except OSError as error:
        raise InvalidRequestBodyError(
            "The connection ended before the body did; nothing of the upload is kept."
        ) from error


async def _content(
    pieces: AsyncIterator[bytes], form: FormParser | None
) -> AsyncGenerator[bytes, None]:
    """The image's bytes: all of them, or those of the form's one part of that name."""
    found = inside = False
    async for piece in pieces:
        if form is None:
            yield piece
            continue
        for event in form.feed(piece):
            match event:
                case PartBegins():
                    inside = _is_image(event, found=found)
                    found = found or inside
                case PartData(content=content):
                    if inside:
                        yield content
                case _:
                    assert_never(event)
    if form is None:
        return
    form.close()
    if not found:
        raise IncompleteRequestBodyError(
            f"The form must have a file part with the name `{PART}`.", field=PART
        )


def _is_image(part: PartBegins, *, found: bool) -> bool:
    if part.name != PART:
        return False
    if found:
        raise InvalidRequestBodyError(
            f"The form has more than one part with the name `{PART}`.", field=PART
        )
    if part.encoding not in ("binary", "8bit", "7bit"):
        raise InvalidRequestBodyError(
            f"The part `{PART}` must hold the image's bytes as they are, without a "
            "Content-Transfer-Encoding.",
            field=PART,
        )
    return True


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Blocks of at least ``BLOCK`` bytes, but for the last one."""
    block = bytearray()
    async for piece in pieces:
        block += piece
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def _told(slots: Slots, slot: int, image: InstalledImage) -> Uploaded:
    # After an upload no slot is shown as chosen. [documented]; a sample contradicts.
    body = image_body(slot, image, Running(slots.current, None))
    meta = UploadedMeta(
        href=UPLOAD,
        slot=slot_path(slot),
        test=TEST,
        upgrade=UPGRADE,
        number_of_empty_slots=empty_slots(await slots.list()),
    )
    return Uploaded(body, str(slot), meta)


def _field(request: web.Request, name: str) -> str | None:
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
        notes="As the body itself, whatever its content type, or as a form's file part "
        "`firmware`. The answer comes when the image is proven and installed. Both header fields "
        "are about the image. A client that sends `Expect: 100-continue` learns of a refusal "
        "before it sends the image.",
        access=Access.ADMIN,
        takes=RequestBody(
            media_types={
                "application/x-iso9660-image": _BYTES,
                "application/octet-stream": _BYTES,
                "multipart/form-data": _FORM,
            }
        ),
        headers=(
            Field(
                REPR_DIGEST,
                "RFC 9530; of its members `sha-256` is checked.",
                {"type": "string", "format": "repr-digest"},
            ),
            Field(
                X_CHECKSUM,
                "SHA-256 of the image, 64 hexadecimal digits.",
                {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"},
            ),
        ),
        answer=SuccessResponse(Uploaded, meaning="The image is in a slot."),
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
