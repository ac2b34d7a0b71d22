"""Slots on the wire: string keys, and an empty body for an empty slot. [seen in sample]."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, assert_never

from msgspec import Meta

from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage, SlotContent
from spsd.web.links import FIRMWARE, SLOTS, ResourceMeta, manifest_path, slot_path
from spsd.web.responses import DateTime, Shape, date_time, one_of


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
BODIES = (SlotBody, EmptySlotBody)


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


class ManifestBody(Shape):
    """What was proven of an image when it was installed."""

    installed_at: Annotated[DateTime, Meta(description="When it was installed.")]
    job: Annotated[str | None, Meta(description="Key of the download that brought it, or null.")]
    sha256: Annotated[str, Meta(description="The image's digest, in lower case.")]
    size: Annotated[int, Meta(ge=0, description="The image's length in bytes.")]


class Manifest(Shape):
    """The manifest of a slot's image: a resource of our own. [unknown - our choice]."""

    body: ManifestBody
    key: Annotated[str, Meta(description="The slot's number.")]
    meta: ResourceMeta


@dataclass(frozen=True, slots=True)
class Running:
    """Which slot runs now, and which after the next reboot; None: nobody knows."""

    current: int | None
    after_reboot: int | None


def many(held: Mapping[int, SlotContent], running: Running) -> SlotList:
    """All slots."""
    items = [
        SlotItem(body_of(number, content, running), str(number), SlotItemMeta(slot_path(number)))
        for number, content in held.items()
    ]
    meta = SlotListMeta(
        current_slot=_link(running.current, held),
        href=SLOTS,
        number_of_empty_slots=empty_slots(held),
        parent=FIRMWARE,
        slot_after_reboot=_link(running.after_reboot, held),
    )
    return SlotList(items, meta)


def one(number: int, content: SlotContent, running: Running) -> Slot:
    """One slot; an empty one has an empty body. [unknown - our choice], like the list."""
    meta = ResourceMeta(slot_path(number), SLOTS)
    return Slot(body_of(number, content, running), str(number), meta)


def manifest(number: int, image: InstalledImage) -> Manifest:
    """What is known of the image beside what it says of itself."""
    body = ManifestBody(date_time(image.installed_at), image.job, image.sha256, image.size)
    return Manifest(body, str(number), ResourceMeta(manifest_path(number), slot_path(number)))


def empty_slots(held: Mapping[int, SlotContent]) -> int:
    """How many hold nothing."""
    return sum(content is None for content in held.values())


def body_of(number: int, content: SlotContent, running: Running) -> SlotBody | EmptySlotBody:
    """What is shown of a slot."""
    match content:
        case None:
            return EmptySlotBody()
        case BrokenSlot(reason=reason):
            return _body(number, ImageInfo("unreadable", reason), running)
        case InstalledImage():
            return image_body(number, content, running)
        case _:
            assert_never(content)


def image_body(number: int, image: InstalledImage, running: Running) -> SlotBody:
    """What is shown of a slot with an image."""
    return _body(number, image.info, running)


def _body(number: int, info: ImageInfo, running: Running) -> SlotBody:
    return SlotBody(
        after_reboot=number == running.after_reboot,
        current=number == running.current,
        upgrade_news=info.upgrade_news,
        upgrade_notes=info.upgrade_notes,
        version=info.version,
    )


def _link(slot: int | None, held: Mapping[int, SlotContent]) -> str | None:
    return slot_path(slot) if slot is not None and slot in held else None
