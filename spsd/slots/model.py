"""Firmware slots, each with one image or none, and the version and notes of an image."""

import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import dataclass

from spsd.digest import Sha256

TEXT_LIMIT = 16 * 1024
"""Longest text stored of an image's notes, in characters: every list of slots has them."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Version and notes that an image contains; ``upgrade_news`` None: it contains none."""

    version: str
    upgrade_notes: str = ""
    upgrade_news: str | None = None


_VERSION = re.compile(r"\d+(?:[._]\d+)+(?:[-+~][0-9A-Za-z.]+)?", re.ASCII)


def from_firmware_toml(text: str) -> ImageInfo | None:
    """Read ``firmware.toml``: ``version``, ``upgrade_notes``, ``upgrade_news``.

    None if it has no version or is no TOML: the caller then reads the next source.
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
    """Read the first line of ``.disk/info``, as on installation media; None: it has no version."""
    line = text.strip().partition("\n")[0].strip()
    match = _VERSION.search(line)
    return ImageInfo(version=match[0], upgrade_notes=line[:TEXT_LIMIT]) if match else None


def from_volume_id(volume_id: str) -> ImageInfo:
    """Read the volume id, the last source: its version, else the whole id, else ``unknown``."""
    name = volume_id.strip()
    match = _VERSION.search(name)
    return ImageInfo(version=match[0].replace("_", ".") if match else name or "unknown")


def _text(value: object) -> str:
    return value[:TEXT_LIMIT] if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class InstalledImage:
    """The manifest of a slot: its digest was verified before the installation.

    ``size`` is in bytes, ``installed_at`` in seconds since the epoch. ``job`` is the key of the
    download that installed it; None: it was uploaded.
    """

    sha256: Sha256
    size: int
    info: ImageInfo
    job: str | None
    installed_at: int


@dataclass(frozen=True, slots=True)
class BrokenSlot:
    """A slot with files but without a readable manifest: only an operator can decide about it."""

    reason: str


SlotContent = InstalledImage | BrokenSlot | None


def lowest_empty(slots: Mapping[int, SlotContent], reserved: Container[int]) -> int | None:
    """The lowest slot that is empty and not reserved; None: there is none."""
    empty = (
        number
        for number, content in sorted(slots.items())
        if content is None and number not in reserved
    )
    return next(empty, None)
