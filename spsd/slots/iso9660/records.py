"""Directory records (ECMA-119 section 9.1), and the names in them. Pure: bytes to values.

Numbers that are stored in both byte orders are read from the little-endian half, as Linux does. A
record that contradicts itself ends its sector: the records after it begin at an unknown place.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

SECTOR = 2048
"""Bytes of a logical sector; no directory record crosses the end of one (section 6.8.1.1)."""

NAME_LIMIT = 255
"""Longest name in bytes; a longer Rock Ridge name is none of those that are read."""

_HEAD = struct.Struct("<BBI4xI4x7xBBB4xB")
_SELF_AND_PARENT = (b"\0", b"\1")
_ASSOCIATED, _DIRECTORY, _MULTI_EXTENT = 0x04, 0x02, 0x80


class Record(NamedTuple):
    """One directory record.

    ``block`` is the logical block of the first byte of data, after an extended attribute record;
    ``length`` is in bytes. ``system_use`` has the fields of Rock Ridge.
    """

    identifier: bytes
    block: int
    length: int
    flags: int
    system_use: bytes

    @property
    def is_directory(self) -> bool:
        """Whether the data are a directory."""
        return bool(self.flags & _DIRECTORY)

    @property
    def is_entry(self) -> bool:
        """Whether it is of a file or directory here: not of this one, its parent, or a fork."""
        return self.identifier not in _SELF_AND_PARENT and not self.flags & _ASSOCIATED

    @property
    def continues(self) -> bool:
        """Whether the next record has the next part of the same file (section 6.5.1)."""
        return bool(self.flags & _MULTI_EXTENT)


def parse_record(data: bytes, at: int) -> Record | None:
    """The record at offset ``at``; None if there is no sound one."""
    if at + _HEAD.size > len(data):
        return None
    size, attributes, block, length, flags, _, _, name_length = _HEAD.unpack_from(data, at)
    name_end = at + _HEAD.size + name_length
    if name_length == 0 or name_end > min(at + size, len(data)):
        return None
    # A byte of padding follows a name of even length (section 9.1.12).
    system_use = data[name_end + 1 - name_length % 2 : at + size]
    identifier = data[at + _HEAD.size : name_end]
    return Record(identifier, block + attributes, length, flags, system_use)


def records_in(sectors: bytes) -> Iterator[Record]:
    """The records of whole sectors of a directory."""
    for start in range(0, len(sectors), SECTOR):
        sector = sectors[start : start + SECTOR]
        at = 0
        while (record := parse_record(sector, at)) is not None:
            yield record
            at += sector[at]


def plain_name(identifier: str) -> str:
    """A file identifier without its version number and empty extension, in lower case."""
    name, semicolon, version = identifier.rpartition(";")
    if not semicolon or not version.isdecimal():
        name = identifier
    return name.removesuffix(".").lower()


def joliet_name(record: Record) -> str:
    """The name in a Joliet directory: UCS-2, big-endian; some writers add a version number."""
    return plain_name(record.identifier.decode("utf-16-be", errors="replace"))


def iso_name(record: Record) -> str:
    """The name in a directory without extensions, of level 1 to 4."""
    return plain_name(record.identifier.decode("utf-8", errors="replace"))


# --- Rock Ridge (IEEE P1282) over the System Use Sharing Protocol (IEEE P1281) ---

_SP, _CE, _ST, _NM = b"SP", b"CE", b"ST", b"NM"
_SP_MAGIC = b"\xbe\xef"
_XA_LENGTH = 14
"""Bytes of CD-ROM XA that may precede the fields in the first record of the root."""
_NM_CONTINUES, _NM_IS_DOT_OR_DOTDOT = 0x01, 0x06
_CHAIN_LIMIT = 32
"""Most continuation areas of one record, as in Linux: a chain may lead back to itself."""
_AREA_LIMIT = 2 * SECTOR
"""Most bytes read of one continuation area."""
_FIELDS_LIMIT = 16
"""Most fields of one area that are looked at; a record has about ten."""

ReadArea = Callable[[int, int, int], bytes]
"""Reads of a logical block, from an offset, a number of bytes; fewer where the image ends."""


def skipped_bytes(first: Record) -> int | None:
    """The bytes before the fields of every record but this, the first of the root directory.

    None: the volume has no Rock Ridge.
    """
    for start in (0, _XA_LENGTH):
        field = first.system_use[start : start + 7]
        if field[:2] == _SP and field[4:6] == _SP_MAGIC and len(field) == 7:
            return field[6]
    return None


def rock_ridge_name(record: Record, skipped: int, read_area: ReadArea) -> str:
    """The alternate name (``NM``), of all its parts; without one, the name in the record itself.

    A continuation area is only read if the name may be in it.
    """
    name = b""
    area: bytes | None = record.system_use[skipped:]
    for _ in range(_CHAIN_LIMIT):
        if area is None:
            break
        following: tuple[int, int, int] | None = None
        for signature, content in _fields(area):
            if signature == _NM and content and not content[0] & _NM_IS_DOT_OR_DOTDOT:
                name += content[1:]
                if not content[0] & _NM_CONTINUES or len(name) > NAME_LIMIT:
                    return name.decode("utf-8", errors="replace")
            elif signature == _CE and len(content) >= 24:
                block, offset, length = struct.unpack("<I4xI4xI4x", content[:24])
                following = block, offset, min(length, _AREA_LIMIT)
        area = read_area(*following) if following is not None else None
    return name.decode("utf-8", errors="replace") if name else iso_name(record)


def _fields(area: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The signature and the content of each field, up to a terminator or an unsound one."""
    at = 0
    for _ in range(_FIELDS_LIMIT):
        if at + 4 > len(area):
            return
        length = area[at + 2]
        signature = area[at : at + 2]
        if length < 4 or at + length > len(area) or signature == _ST:
            return
        yield signature, area[at + 4 : at + length]
        at += length
