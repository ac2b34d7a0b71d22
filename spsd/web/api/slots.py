"""``/api/firmware/slots``: list, show and empty slots."""

from typing import assert_never

from aiohttp import hdrs, web

from spsd.errors import ResourceNotFoundError, SlotInUseError
from spsd.slots.model import BrokenSlot, InstalledImage
from spsd.slots.service import Slots
from spsd.web.api import slot_json
from spsd.web.api.download_json import Removed
from spsd.web.contract import Access, Link, Operation, SuccessResponse
from spsd.web.links import SLOTS, ResourceMeta, slot_path
from spsd.web.responses import respond

SLOT_STORE = web.AppKey("slots", Slots)


async def list_all(request: web.Request) -> web.Response:
    """Every slot."""
    slots = request.app[SLOT_STORE]
    return respond(slot_json.many(await slots.list(), await running(slots)))


async def get(request: web.Request) -> web.Response:
    """One slot."""
    slots, number = request.app[SLOT_STORE], _number(request)
    return respond(slot_json.one(number, await slots.get(number), await running(slots)))


async def manifest(request: web.Request) -> web.Response:
    """What was proven of its image."""
    number = _number(request)
    content = await request.app[SLOT_STORE].get(number)
    match content:
        case InstalledImage() as image:
            return respond(slot_json.manifest(number, image))
        case BrokenSlot():
            raise ResourceNotFoundError(f"Slot {number} has no readable manifest.")
        case None:
            raise ResourceNotFoundError(f"Slot {number} is empty.")
        case _:
            assert_never(content)


async def delete(request: web.Request) -> web.Response:
    """Take the image out."""
    number = _number(request)
    await request.app[SLOT_STORE].empty(number)
    return respond(Removed(ResourceMeta(slot_path(number), SLOTS)))


async def running(slots: Slots) -> slot_json.Running:
    """Which slots matter."""
    return slot_json.Running(slots.current, await slots.after_reboot())


def _number(request: web.Request) -> int:
    text = request.match_info["slot"]
    if not (text.isascii() and text.isdecimal() and len(text) < 5) or text.startswith("0"):
        raise ResourceNotFoundError(f"Slots have numbers from 1, not {text!r}.")
    return int(text)


_TAG = "Slots"
_ONE = f"{SLOTS}/{{slot}}"
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
        answer=SuccessResponse(
            slot_json.SlotList, meaning="Every slot, empty ones too.", inside=slot_json.BODIES
        ),
        links=(Link("getSlot", _FIRST), Link("emptySlot", _FIRST)),
    ),
    Operation(
        name="getSlot",
        method=hdrs.METH_GET,
        path=_ONE,
        handler=get,
        tag=_TAG,
        summary="Look at a slot",
        access=Access.VIEWER,
        answer=SuccessResponse(slot_json.Slot, meaning="The slot.", inside=slot_json.BODIES),
        errors=(ResourceNotFoundError,),
    ),
    Operation(
        name="slotManifest",
        method=hdrs.METH_GET,
        path=f"{_ONE}/manifest",
        handler=manifest,
        tag=_TAG,
        summary="What was proven of the image in a slot",
        notes="Of spsd's own: which digest the slot holds. 404 if it is empty.",
        access=Access.VIEWER,
        answer=SuccessResponse(
            slot_json.Manifest, meaning="Digest, size, and where the image came from."
        ),
        errors=(ResourceNotFoundError,),
    ),
    Operation(
        name="emptySlot",
        method=hdrs.METH_DELETE,
        path=_ONE,
        handler=delete,
        tag=_TAG,
        summary="Take an image out of its slot",
        notes="Not the one that runs now or after the next reboot, and not a slot that is "
        "reserved by a running download.",
        access=Access.ADMIN,
        answer=SuccessResponse(Removed, meaning="The slot is empty."),
        errors=(ResourceNotFoundError, SlotInUseError),
    ),
)
