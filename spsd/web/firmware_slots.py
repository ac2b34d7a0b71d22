"""``/api/firmware/slots``: look, and take an image out."""

from collections.abc import Mapping
from typing import Annotated, Any, assert_never

from aiohttp import hdrs, web
from msgspec import Meta

from spsd.domain.errors import ResourceNotFoundError, SlotInUseError
from spsd.domain.slot import BrokenSlot, InstalledImage, SlotContent
from spsd.services.slots import Slots
from spsd.web.answers import Shape, answer, one_of
from spsd.web.contract import Access, Answer, Link, Operation
from spsd.web.downloads import Removed
from spsd.web.links import ResourceMeta
from spsd.web.paths import FIRMWARE, SLOTS, slot_path

SLOT_STORE = web.AppKey("slots", Slots)


class SlotBody(Shape):
    """What a slot holds."""

    after_reboot: Annotated[bool, Meta(description="Runs after the next reboot.")]
    current: Annotated[bool, Meta(description="Runs now.")]
    upgrade_news: Annotated[str | None, Meta(description="What matters for the upgrade.")]
    upgrade_notes: Annotated[str, Meta(description="The image's upgrade notes.")]
    version: Annotated[str, Meta(description="The image's version.")]


class EmptySlotBody(Shape):
    """A slot that holds nothing."""


Body = Annotated[Any, one_of(SlotBody, EmptySlotBody), Meta(description="Empty for an empty slot.")]
_INSIDE = (SlotBody, EmptySlotBody)


class SlotItemMeta(Shape):
    """A slot's link in a list."""

    href: str


class SlotItem(Shape):
    """A slot in the list."""

    body: Body
    key: Annotated[str, Meta(description="The slot's number.")]
    meta: SlotItemMeta


class SlotListMeta(Shape):
    """Where the list stands, which slots matter, and how much room there is."""

    current_slot: Annotated[str | None, Meta(description="Link to the slot that runs now.")]
    href: str
    number_of_empty_slots: Annotated[int, Meta(ge=0, description="A count, not a link.")]
    parent: str
    slot_after_reboot: Annotated[str | None, Meta(description="Link to the slot that boots next.")]


class SlotList(Shape):
    """Every slot, empty ones too. [seen in sample]."""

    items: list[SlotItem]
    meta: SlotListMeta


class Slot(Shape):
    """One slot."""

    body: Body
    key: Annotated[str, Meta(description="The slot's number.")]
    meta: ResourceMeta


async def list_all(request: web.Request) -> web.Response:
    """Every slot."""
    slots = request.app[SLOT_STORE]
    held = await slots.list()
    items = [
        SlotItem(slot_body(slots, n, content), str(n), SlotItemMeta(slot_path(n)))
        for n, content in held.items()
    ]
    current = None
    if slots.current is not None and slots.current in held:
        current = slot_path(slots.current)
    meta = SlotListMeta(
        current_slot=current,
        href=SLOTS,
        number_of_empty_slots=empty_slots(held),
        parent=FIRMWARE,
        slot_after_reboot=current,
    )
    return answer(SlotList(items, meta))


async def get(request: web.Request) -> web.Response:
    """One slot; an empty one has an empty body. [unknown - our choice], like the list."""
    slots, number = request.app[SLOT_STORE], _number(request)
    body = slot_body(slots, number, await slots.get(number))
    return answer(Slot(body, str(number), ResourceMeta(slot_path(number), SLOTS)))


async def delete(request: web.Request) -> web.Response:
    """Take the image out."""
    number = _number(request)
    await request.app[SLOT_STORE].empty(number)
    return answer(Removed(ResourceMeta(slot_path(number), SLOTS)))


def _number(request: web.Request) -> int:
    text = request.match_info["slot"]
    if not (text.isascii() and text.isdecimal() and len(text) < 5) or text.startswith("0"):
        raise ResourceNotFoundError(f"Slots have numbers from 1, not {text!r}.")
    return int(text)


def empty_slots(held: Mapping[int, SlotContent]) -> int:
    """How many hold nothing."""
    return sum(content is None for content in held.values())


def slot_body(slots: Slots, number: int, content: SlotContent) -> SlotBody | EmptySlotBody:
    """What is shown of a slot."""
    # Nothing chooses another slot for the next boot yet, so the current one will run again.
    current = number == slots.current
    match content:
        case None:
            return EmptySlotBody()
        case BrokenSlot():
            return SlotBody(current, current, None, content.reason, "unreadable")
        case InstalledImage(info=info):
            return SlotBody(current, current, info.upgrade_news, info.upgrade_notes, info.version)
        case _:
            assert_never(content)


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
        answer=Answer(SlotList, meaning="Every slot, empty ones too.", inside=_INSIDE),
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
        answer=Answer(Slot, meaning="The slot.", inside=_INSIDE),
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
        answer=Answer(Removed, meaning="The slot is empty."),
        errors=(ResourceNotFoundError, SlotInUseError),
    ),
)
