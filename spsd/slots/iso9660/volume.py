"""The volume of an image: its descriptors, its directory trees, and files found in these."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from spsd.slots.iso9660.records import (
    SECTOR,
    Record,
    iso_name,
    joliet_name,
    parse_record,
    records_in,
    rock_ridge_name,
    skipped_bytes,
)
from spsd.slots.iso9660.source import ImageSource

FILE_LIMIT = 64 * 1024
"""Longest file that is read, in bytes."""

DESCRIPTORS_LIMIT = 64
"""Most volume descriptors that are read; an image has two to five."""

_FIRST_DESCRIPTOR = 16
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_ENHANCED_VERSION = 2
_ROOT_AT = 156
_BLOCK_SIZES = (512, 1024, 2048)
_JOLIET = (b"%/@", b"%/C", b"%/E")
_PIECE = 32 * SECTOR
_SECTIONS_LIMIT = 16
"""Most parts of a file that are remembered: a file that is read has one, or a few."""


class NotAVolumeError(Exception):
    """The image is not an ISO 9660 volume, or its root directory is not in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory: its sections, each with offset and length in bytes.

    ``length`` is the sum of all sections, also of those beyond the limit that are not listed.
    """

    name: str
    is_directory: bool
    sections: tuple[tuple[int, int], ...]
    length: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One of the directory trees of a volume.

    ``shortened``: its names are those of ISO 9660 itself, which are shorter than the files' own
    names, or have other characters.
    """

    source: ImageSource
    block_size: int
    root: Entry
    name_of: Callable[[Record], str]
    shortened: bool = False

    def entries(self, directory: Entry) -> Iterator[Entry]:
        """What the directory contains, in the order of its records.

        Raises:
            LimitReachedError: more of the image would have to be read than its bounds allow.
            OSError: the image cannot be read.
        """
        sections: list[tuple[int, int]] = []
        length, identifier = 0, b""
        for record in self._records(directory):
            if record.identifier != identifier:
                sections, length, identifier = [], 0, record.identifier
            if record.length and len(sections) < _SECTIONS_LIMIT:
                sections.append((record.block * self.block_size, record.length))
            length += record.length
            if not record.continues:
                name = self.name_of(record)
                yield Entry(name, record.is_directory, tuple(sections), length)
                identifier = b""

    def read_text(self, file: Entry) -> str | None:
        """The text of a file of at most 64 KiB, decoded as UTF-8 with replacements.

        None if it is longer, or not completely in the image.

        Raises:
            LimitReachedError: more of the image would have to be read than its bounds allow.
            OSError: the image cannot be read.
        """
        if file.length > FILE_LIMIT:
            return None
        content = b"".join(self.source.read(at, length) for at, length in file.sections)
        return content.decode("utf-8", errors="replace") if len(content) == file.length else None

    def _records(self, directory: Entry) -> Iterator[Record]:
        for at, length in directory.sections[:1]:
            for start in range(0, length, _PIECE):
                piece = self.source.read(at + start, min(_PIECE, length - start))
                records = list(records_in(piece))
                self.source.count_records(len(records))
                yield from (record for record in records if record.is_entry)
                if len(piece) < _PIECE:
                    return


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume with its id, and its trees in the order in which files are sought in them."""

    identifier: str
    trees: tuple[Tree, ...]


def read_volume(source: ImageSource) -> Volume:
    """Read the volume descriptors (ECMA-119 section 8) and the begin of the root directory.

    The tree with Rock Ridge is the first; then Joliet, ISO 9660:1999, and the one without
    extensions: the longer the names, the earlier.

    Raises:
        NotAVolumeError: it is no ISO 9660 volume; the message states the reason.
        OSError: the image cannot be read.
    """
    descriptors = list(_descriptors(source))
    if not descriptors:
        at = _FIRST_DESCRIPTOR * SECTOR
        raise NotAVolumeError(f"it has no volume descriptor at byte {at}")
    primary = next((found for found in descriptors if found[0] == _PRIMARY), None)
    if primary is None:
        raise NotAVolumeError("it has no primary volume descriptor")
    plain = _tree(source, primary, iso_name, shortened=True)
    rock_ridge = _with_rock_ridge(plain)
    first = [] if rock_ridge is None else [rock_ridge]
    last = [plain] if rock_ridge is None else []
    identifier = primary[40:72].partition(b"\0")[0].decode("utf-8", errors="replace")
    trees = (*first, *_supplementary_trees(source, descriptors), *last)
    return Volume(identifier, trees)


def _descriptors(source: ImageSource) -> Iterator[bytes]:
    for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + DESCRIPTORS_LIMIT):
        sector = source.read(number * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[1:6] != b"CD001" or sector[0] == _TERMINATOR:
            return
        yield sector


def _supplementary_trees(source: ImageSource, descriptors: Sequence[bytes]) -> Iterator[Tree]:
    """The first tree with Joliet, and the first of ISO 9660:1999; a damaged one is left out."""
    supplementary = [found for found in descriptors if found[0] == _SUPPLEMENTARY]
    enhanced = [found for found in supplementary if found[6] == _ENHANCED_VERSION]
    joliet = [
        found
        for found in supplementary
        if found[6] != _ENHANCED_VERSION and found[88:91] in _JOLIET
    ]
    for found, name_of in ((joliet, joliet_name), (enhanced, iso_name)):
        with suppress(NotAVolumeError):
            yield from [_tree(source, descriptor, name_of) for descriptor in found[:1]]


def _tree(
    source: ImageSource,
    descriptor: bytes,
    name_of: Callable[[Record], str],
    *,
    shortened: bool = False,
) -> Tree:
    """The tree of a descriptor.

    Raises:
        NotAVolumeError: its root directory is not completely in the image.
    """
    (block_size,) = struct.unpack_from("<H", descriptor, 128)
    if block_size not in _BLOCK_SIZES:
        raise NotAVolumeError(f"its logical blocks have {block_size} bytes")
    record = parse_record(descriptor[_ROOT_AT : _ROOT_AT + 34], 0)
    if record is None or not record.is_directory or record.length == 0:
        raise NotAVolumeError("its descriptor has no root directory")
    at = record.block * block_size
    if at + record.length > source.size:
        raise NotAVolumeError(
            f"its root directory has the bytes from {at} to {at + record.length}, "
            f"and the image has {source.size}"
        )
    root = Entry("", is_directory=True, sections=((at, record.length),), length=record.length)
    return Tree(source, block_size, root, name_of, shortened)


def _with_rock_ridge(plain: Tree) -> Tree | None:
    """The tree with the names of Rock Ridge; None: it has none."""
    ((at, _),) = plain.root.sections
    first = parse_record(plain.source.read(at, SECTOR), 0)
    skipped = skipped_bytes(first) if first is not None else None
    if skipped is None:
        return None

    def read_area(block: int, offset: int, length: int) -> bytes:
        return plain.source.read(block * plain.block_size + offset, length)

    def name_of(record: Record) -> str:
        return rock_ridge_name(record, skipped, read_area)

    return Tree(plain.source, plain.block_size, plain.root, name_of)
