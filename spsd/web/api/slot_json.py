"""Slots as JSON: string keys, and an empty body for an empty slot. [seen in sample]."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, assert_never

from msgspec import Meta

from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage, SlotContent
from spsd.web.links import FIRMWARE, SLOTS, ResourceMeta, manifest_path, slot_path
from spsd.web.responses import DateTime, Shape, date_time, one_of


class SlotBody(Shape):
    """A slot with an image."""

    after_reboot: Annotated[bool, Meta(description="Whether the slot boots next.")]
    current: Annotated[bool, Meta(description="Whether the slot runs now.")]
    upgrade_news: Annotated[str | None, Meta(description="News about the upgrade.")]
    upgrade_notes: Annotated[str, Meta(description="Upgrade notes of the image.")]
    version: Annotated[str, Meta(description="Version of the image.")]


class EmptySlotBody(Shape):
    """A slot without an image."""


Body = Annotated[
    Any,
    one_of(SlotBody, EmptySlotBody),
    Meta(description="The image; an empty object for an empty slot."),
]
BODIES = (SlotBody, EmptySlotBody)


class SlotItemMeta(Shape):
    """Link of a slot in the list."""

    href: str


class SlotItem(Shape):
    """A slot in the list."""

    body: Body
    key: Annotated[str, Meta(description="Number of the slot.")]
    meta: SlotItemMeta


class SlotListMeta(Shape):
    """Links to the running slot and the next one, and the number of empty slots."""

    current_slot: Annotated[str | None, Meta(description="Path of the running slot, or null.")]
    href: str
    number_of_empty_slots: Annotated[int, Meta(ge=0, description="Number of empty slots.")]
    parent: str
    slot_after_reboot: Annotated[
        str | None, Meta(description="Path of the slot that boots next, or null.")
    ]


class SlotList(Shape):
    """All slots, with the empty ones. [seen in sample]."""

    items: list[SlotItem]
    meta: SlotListMeta


class Slot(Shape):
    """One slot."""

    body: Body
    key: Annotated[str, Meta(description="Number of the slot.")]
    meta: ResourceMeta


class ManifestBody(Shape):
    """The facts that were verified when the image was installed."""

    installed_at: Annotated[DateTime, Meta(description="Time of the installation.")]
    job: Annotated[str | None, Meta(description="Key of the download; null for an upload.")]
    sha256: Annotated[str, Meta(description="SHA-256 of the image, in lower case.")]
    size: Annotated[int, Meta(ge=0, description="Length of the image in bytes.")]


class Manifest(Shape):
    """The manifest of the image in a slot. An extension of spsd. [unknown - our choice]."""

    body: ManifestBody
    key: Annotated[str, Meta(description="Number of the slot.")]
    meta: ResourceMeta


@dataclass(frozen=True, slots=True)
class Running:
    """The running slot and the one that boots next; each None if it is unknown."""

    current: int | None
    after_reboot: int | None


def slot_list(contents: Mapping[int, SlotContent], running: Running) -> SlotList:
    """The list of all slots; ``contents`` by slot number."""
    items = [
        SlotItem(_body(number, content, running), str(number), SlotItemMeta(slot_path(number)))
        for number, content in contents.items()
    ]
    meta = SlotListMeta(
        current_slot=_link(running.current, contents),
        href=SLOTS,
        number_of_empty_slots=empty_slots(contents),
        parent=FIRMWARE,
        slot_after_reboot=_link(running.after_reboot, contents),
    )
    return SlotList(items, meta)


def slot_document(number: int, content: SlotContent, running: Running) -> Slot:
    """The document of one slot; an empty one has an empty body, as in the list.

    [unknown - our choice]
    """
    meta = ResourceMeta(slot_path(number), SLOTS)
    return Slot(_body(number, content, running), str(number), meta)


def manifest_document(number: int, image: InstalledImage) -> Manifest:
    """The manifest of the image in the slot ``number``."""
    body = ManifestBody(date_time(image.installed_at), image.job, image.sha256, image.size)
    return Manifest(body, str(number), ResourceMeta(manifest_path(number), slot_path(number)))


def empty_slots(contents: Mapping[int, SlotContent]) -> int:
    """The number of empty slots."""
    return sum(content is None for content in contents.values())


def _body(number: int, content: SlotContent, running: Running) -> SlotBody | EmptySlotBody:
    """The body of a slot; a broken one has the version ``unreadable``."""
    match content:
        case None:
            return EmptySlotBody()
        case BrokenSlot(reason=reason):
            return _info_body(number, ImageInfo("unreadable", reason), running)
        case InstalledImage():
            return image_body(number, content, running)
        case _:
            assert_never(content)


def image_body(number: int, image: InstalledImage, running: Running) -> SlotBody:
    """The body of a slot with an image."""
    return _info_body(number, image.info, running)


def _info_body(number: int, info: ImageInfo, running: Running) -> SlotBody:
    return SlotBody(
        after_reboot=number == running.after_reboot,
        current=number == running.current,
        upgrade_news=info.upgrade_news,
        upgrade_notes=info.upgrade_notes,
        version=info.version,
    )


def _link(slot: int | None, contents: Mapping[int, SlotContent]) -> str | None:
    return slot_path(slot) if slot is not None and slot in contents else None
