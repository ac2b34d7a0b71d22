"""The part of an object that a request selects (RFC 9110 sections 13.1.5 and 14)."""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

# A position with 100 digits is past the end of every object; longer numbers are not converted.
_SINGLE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,100})-([0-9]{0,100})[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Full:
    """The whole object: status 200."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` to `stop`, `stop` excluded: status 206."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte of the requested range exists: status 416."""


Selection: TypeAlias = Full | Part | Unsatisfiable


def select_range(value: str | None, size: int) -> Selection:
    """Return what this Range field selects of an object of ``size`` bytes (RFC 9110 14.1.2).

    A field that is malformed, in another unit, or has several ranges is ignored, as section 14.2
    allows. A suffix of an empty object is ignored too: Content-Range cannot express an empty part.
    """
    match = _SINGLE.fullmatch(value) if value is not None else None
    if match is None or not (match[1] or match[2]):
        return Full()
    first, last = match[1], match[2]
    if not first:
        return _suffix(int(last), size)
    if last and int(last) < int(first):
        return Full()
    if int(first) >= size:
        return Unsatisfiable()
    return Part(int(first), min(int(last) + 1, size) if last else size)


def if_range_matches(if_range: str, etag: str, last_modified: str) -> bool:
    """Return whether If-Range names the current state of the object (RFC 9110 section 13.1.5).

    An entity tag is compared strongly (section 8.8.3.2), a date exactly.
    """
    if if_range.startswith(('"', "W/")):
        return if_range == etag and not etag.startswith("W/")
    return if_range == last_modified


def _suffix(length: int, size: int) -> Selection:
    if length == 0:
        return Unsatisfiable()
    return Part(max(0, size - length), size) if size else Full()
