"""``/api/firmware/slots``: the handlers of slots, and their operations."""

from typing import assert_never

from aiohttp import hdrs, web

from spsd.errors import ResourceNotFoundError, SlotInUseError
from spsd.slots.model import BrokenSlot, InstalledImage
from spsd.slots.service import Slots
from spsd.web.api import slot_json
from spsd.web.api.download_json import Removed
from spsd.web.contract import Access, Link, Operation, SuccessResponse
from spsd.web.links import SLOTS, ResourceMeta, slot_path
from spsd.web.middleware.audit import Event, audited
from spsd.web.responses import respond

SLOT_STORE = web.AppKey("slots", Slots)


async def list_all(request: web.Request) -> web.Response:
    """All slots."""
    slots = request.app[SLOT_STORE]
    return respond(slot_json.slot_list(await slots.list(), await _running(slots)))


async def get(request: web.Request) -> web.Response:
    """One slot."""
    slots, number = request.app[SLOT_STORE], _number(request)
    content = await slots.get(number)
    return respond(slot_json.slot_document(number, content, await _running(slots)))


async def manifest(request: web.Request) -> web.Response:
    """The manifest of the image in a slot.

    Raises:
        ResourceNotFoundError: the slot does not exist, is empty, or has no readable manifest.
    """
    number = _number(request)
    content = await request.app[SLOT_STORE].get(number)
    match content:
        case InstalledImage() as image:
            return respond(slot_json.manifest_document(number, image))
        case BrokenSlot():
            raise ResourceNotFoundError(f"Slot {number} has no readable manifest.")
        case None:
            raise ResourceNotFoundError(f"Slot {number} is empty.")
        case _:
            assert_never(content)


async def delete(request: web.Request) -> web.Response:
    """Delete the image in a slot."""
    number = _number(request)
    with audited(request, Event.EMPTY_SLOT, slot=number):
        await request.app[SLOT_STORE].empty(number)
    return respond(Removed(ResourceMeta(slot_path(number), SLOTS)))


async def _running(slots: Slots) -> slot_json.Running:
    return slot_json.Running(slots.current, await slots.after_reboot())


def _number(request: web.Request) -> int:
    text = request.match_info["slot"]
    if not (text.isascii() and text.isdecimal() and len(text) < 5) or text.startswith("0"):
        raise ResourceNotFoundError(f"A slot has a number from 1, not {text!r}.")
    return int(text)


_TAG = "Slots"
_SLOT = f"{SLOTS}/{{slot}}"
_FIRST = {"slot": "$response.body#/items/0/key"}
OPERATIONS = (
    Operation(
        name="listSlots",
        method=hdrs.METH_GET,
        path=SLOTS,
        handler=list_all,
        tag=_TAG,
        summary="List the slots",
        access=Access.VIEWER,
        success=SuccessResponse(
            slot_json.SlotList, meaning="All slots, with the empty ones.", nested=slot_json.BODIES
        ),
        links=(Link("getSlot", _FIRST), Link("emptySlot", _FIRST)),
    ),
    Operation(
        name="getSlot",
        method=hdrs.METH_GET,
        path=_SLOT,
        handler=get,
        tag=_TAG,
        summary="Read a slot",
        access=Access.VIEWER,
        success=SuccessResponse(slot_json.Slot, meaning="The slot.", nested=slot_json.BODIES),
        errors=(ResourceNotFoundError,),
    ),
    Operation(
        name="slotManifest",
        method=hdrs.METH_GET,
        path=f"{_SLOT}/manifest",
        handler=manifest,
        tag=_TAG,
        summary="Read the manifest of the image in a slot",
        notes="The manifest has the verified SHA-256 of the image. An empty slot has none: 404. An "
        "extension of spsd.",
        access=Access.VIEWER,
        success=SuccessResponse(
            slot_json.Manifest, meaning="Digest, size and origin of the image."
        ),
        errors=(ResourceNotFoundError,),
    ),
    Operation(
        name="emptySlot",
        method=hdrs.METH_DELETE,
        path=_SLOT,
        handler=delete,
        tag=_TAG,
        summary="Delete the image in a slot",
        notes="Refused for the running slot, for the one that boots next, and for one that is "
        "reserved by a download or an upload.",
        access=Access.ADMIN,
        success=SuccessResponse(Removed, meaning="The slot is empty."),
        errors=(ResourceNotFoundError, SlotInUseError),
    ),
)
