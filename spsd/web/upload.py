"""``/api/upload/firmware``: the image as the body, or as a form's file part."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import assert_never

from aiohttp import HttpVersion11, hdrs, web

from spsd.domain.errors import (
    IncompleteRequestBodyError,
    InvalidRequestBodyError,
    RequestTimeoutError,
)
from spsd.domain.slot import InstalledImage
from spsd.services.uploads import Uploads
from spsd.web.answers import answer
from spsd.web.codec import SIBLINGS
from spsd.web.digest_fields import REPR_DIGEST, X_CHECKSUM, expected_digest
from spsd.web.firmware_slots import SLOTS
from spsd.web.multipart import FormParser, PartBegins, PartData

PATH = "/api/upload/firmware"
UPLOADS = web.AppKey("uploads", Uploads)
PART = "firmware"

BLOCK = 1024 * 1024
"""Pieces are gathered to blocks of about this size: one write and one hash step each."""

IDLE_S = 60.0
"""How long a client may send nothing before it is dropped."""


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
    return answer(await _told(request, slot, image))


async def keep_expecting(_: web.Request) -> None:
    """Send no 100 yet: who may not upload, or has no slot to fill, need not send the bytes."""


async def close_unless_read(request: web.Request, response: web.StreamResponse) -> None:
    """After an answer that did not wait for the whole body nothing else can be read."""
    if request.path == PATH and not request.content.is_eof():
        response.headers[hdrs.CONNECTION] = "close"
        response.force_close()


async def _arriving(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces as they come.

    Raises:
        RequestTimeoutError: the client sends nothing any more.
        InvalidRequestBodyError: the client has gone.
    """
    try:
        await _invite(request)
        while True:
            async with asyncio.timeout(IDLE_S):
                piece = await request.content.readany()
            if not piece:
                return
            yield piece
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"No byte came for {IDLE_S:g} seconds, so the upload was dropped; nothing of it is "
            "kept. Check the network and upload again."
        ) from error
    except OSError as error:
        raise InvalidRequestBodyError(
            "The connection ended before the body did; nothing of the upload is kept."
        ) from error


async def _invite(request: web.Request) -> None:
    """Answer ``Expect: 100-continue`` (RFC 9110 section 10.1.1), now that the body is wanted."""
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation is None or request.version < HttpVersion11:
        return
    if expectation.strip().lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The answer to come counts its own bytes.
    request.writer.output_size = 0


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


async def _told(request: web.Request, slot: int, image: InstalledImage) -> dict[str, object]:
    """The documented answer; its meta has no parent. [seen in sample]."""
    slots = request.app[SLOTS]
    held = await slots.list()
    return {
        "body": {
            "after_reboot": False,
            "current": slot == slots.current,
            "upgrade_news": image.info.upgrade_news,
            "upgrade_notes": image.info.upgrade_notes,
            "version": image.info.version,
        },
        "key": str(slot),
        "meta": {
            "href": PATH,
            "slot": f"{SIBLINGS['slots']}/{slot}",
            "test": SIBLINGS["test"],
            "upgrade": SIBLINGS["upgrade"],
            "number_of_empty_slots": sum(content is None for content in held.values()),
        },
    }


def _field(request: web.Request, name: str) -> str | None:
    lines = request.headers.getall(name, [])
    return ", ".join(lines) if lines else None
