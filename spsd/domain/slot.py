"""A firmware slot: a numbered place that holds one image or nothing."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from spsd.digest import Sha256
from spsd.domain.image import ImageInfo


@dataclass(frozen=True, slots=True)
class InstalledImage:
    """What a slot's manifest says: proven when it was installed, by whom, and when.

    ``job`` is the key of the download that brought it; None: it was uploaded.
    """

    sha256: Sha256
    size: int
    info: ImageInfo
    job: str | None
    installed_at: int


@dataclass(frozen=True, slots=True)
class BrokenSlot:
    """Something lies in the slot, but no manifest says what; nobody but an operator may judge."""

    reason: str


SlotContent = InstalledImage | BrokenSlot | None


def lowest_empty(slots: Mapping[int, SlotContent], reserved: Container[int]) -> int | None:
    """The slot for the next image: the lowest that is empty and not reserved."""
    empty = (n for n, image in sorted(slots.items()) if image is None and n not in reserved)
    return next(empty, None)
