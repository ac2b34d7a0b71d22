"""Firmware slots, each with one image or nothing, and what an image says of itself."""

import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import dataclass

from spsd.digest import Sha256

TEXT_LIMIT = 16 * 1024
"""Longest text kept of an image's notes, in characters; the wire shows them in every slot list."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The facts shown for a slot; ``upgrade_news`` is None where the image has none."""

    version: str
    upgrade_notes: str = ""
    upgrade_news: str | None = None


_VERSION = re.compile(r"\d+(?:[._]\d+)+(?:[-+~][0-9A-Za-z.]+)?", re.ASCII)


def from_firmware_toml(text: str) -> ImageInfo | None:
    """Read ``firmware.toml``: ``version``, ``upgrade_notes``, ``upgrade_news``.

    None if it has no version or is no TOML, so that the next source is asked.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    version = table.get("version")
    if not isinstance(version, str) or not version.strip():
        return None
    news = table.get("upgrade_news")
    return ImageInfo(
        version=version.strip()[:TEXT_LIMIT],
        upgrade_notes=_text(table.get("upgrade_notes")),
        upgrade_news=_text(news) if isinstance(news, str) else None,
    )


def from_disk_info(text: str) -> ImageInfo | None:
    """Read ``.disk/info``, one line that install media carry; None if it has no version."""
    line = text.strip().partition("\n")[0].strip()
    found = _VERSION.search(line)
    return ImageInfo(version=found[0], upgrade_notes=line[:TEXT_LIMIT]) if found else None


def from_volume_id(volume_id: str) -> ImageInfo:
    """The last resort: a version in the volume's name, or the whole name."""
    name = volume_id.strip()
    found = _VERSION.search(name)
    return ImageInfo(version=found[0].replace("_", ".") if found else name or "unknown")


def _text(value: object) -> str:
    return value[:TEXT_LIMIT] if isinstance(value, str) else ""


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
