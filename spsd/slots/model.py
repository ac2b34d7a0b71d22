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


VERSION_LIMIT = 256
"""Longest version stored of an image, in characters."""

KEY_PARTS_LIMIT = 16
"""Most parts of a key in ``firmware.toml``, such as the two of ``a.b``."""

# Possessive, and it never begins within a number: the time is linear in the length of the text.
_VERSION = re.compile(r"(?<!\d)\d++(?:[._]\d++)++(?:[-+~][0-9A-Za-z.]++)?", re.ASCII)
_STRING_OR_COMMENT = re.compile(
    r'''"""(?:[^\\]|\\.)*?(?:"""|\Z)|'{3}.*?(?:'{3}|\Z)'''
    r"""|"(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*+'?|\#[^\n]*+""",
    re.DOTALL,
)
_NOT_IN_KEYS = re.compile(r"[^\w. \t-]+")


def from_firmware_toml(text: str) -> ImageInfo | None:
    """Read ``firmware.toml``: ``version``, ``upgrade_notes``, ``upgrade_news``.

    None if it has no version, is no TOML, or has a key of more than :data:`KEY_PARTS_LIMIT` parts:
    the caller then reads the next source.
    """
    if _has_long_key(text):
        return None
    try:
        table = tomllib.loads(text)
    # Beside its own error, a ValueError, tomllib lets out that of a number with too many digits,
    # and the RecursionError of nested values.
    except (ValueError, RecursionError):
        return None
    version = table.get("version")
    if not isinstance(version, str) or not version.strip():
        return None
    news = table.get("upgrade_news")
    return ImageInfo(
        version=version.strip()[:VERSION_LIMIT],
        upgrade_notes=_text(table.get("upgrade_notes")),
        upgrade_news=_text(news) if isinstance(news, str) else None,
    )


def from_disk_info(text: str) -> ImageInfo | None:
    """Read the first line of ``.disk/info``, as on installation media; None: it has no version."""
    line = text.strip().partition("\n")[0].strip()
    match = _VERSION.search(line)
    return ImageInfo(match[0][:VERSION_LIMIT], line[:TEXT_LIMIT]) if match else None


def from_volume_id(volume_id: str) -> ImageInfo:
    """Read the volume id, the last source: its version, else the whole id, else ``unknown``."""
    name = volume_id.strip()
    match = _VERSION.search(name)
    return ImageInfo(version=match[0].replace("_", ".") if match else name or "unknown")


def _has_long_key(text: str) -> bool:
    """Whether a key has more parts than the limit: tomllib's time grows with their square.

    This tells strings and comments from keys as TOML does, as far as the text is valid. So it sees
    every key that tomllib reads before it gives up.
    """
    keys = _NOT_IN_KEYS.split(_STRING_OR_COMMENT.sub("", text))
    return any(key.count(".") >= KEY_PARTS_LIMIT for key in keys)


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
