"""The parts of an ISO 9660 volume as bytes, for volumes that no program would write."""

import struct
from collections.abc import Iterable, Mapping

SECTOR = 2048
DIRECTORY, MULTI_EXTENT = 0x02, 0x80
ROOT = 20
"""The sector of the root directory in :func:`volume`."""


def both(number: int, size: int = 4) -> bytes:
    """A number in little-endian, then in big-endian order."""
    return number.to_bytes(size, "little") + number.to_bytes(size, "big")


def record(
    name: bytes,
    block: int = 0,
    length: int = 0,
    *,
    flags: int = 0,
    attributes: int = 0,
    system_use: bytes = b"",
) -> bytes:
    """A directory record; its length is even."""
    tail = name + b"\0" * (1 - len(name) % 2) + system_use
    tail += b"\0" * (len(tail) % 2 ^ 1)
    head = struct.pack("<BB", 33 + len(tail), attributes) + both(block) + both(length)
    return head + bytes(7) + bytes([flags, 0, 0]) + both(1, 2) + bytes([len(name)]) + tail


def directory(records: Iterable[bytes], *, block: int, system_use: bytes = b"") -> bytes:
    """Whole sectors; the first record, that of itself, has the fields ``system_use``."""
    own = {"block": block, "length": SECTOR, "flags": DIRECTORY}
    sectors = [record(b"\0", **own, system_use=system_use) + record(b"\1", **own)]
    for each in records:
        if len(sectors[-1]) + len(each) > SECTOR:
            sectors[-1] = sectors[-1].ljust(SECTOR, b"\0")
            sectors.append(b"")
        sectors[-1] += each
    return b"".join(sectors).ljust(len(sectors) * SECTOR, b"\0")


def descriptor(
    kind: int,
    root: bytes,
    *,
    volume_id: bytes = b"FW_9_9",
    block_size: int = SECTOR,
    escape: bytes = b"",
    version: int = 1,
) -> bytes:
    """A volume descriptor; ``escape`` is that of Joliet."""
    data = bytearray(SECTOR)
    data[:7] = bytes([kind]) + b"CD001" + bytes([version])
    data[40:72] = volume_id.ljust(32)
    data[88 : 88 + len(escape)] = escape
    data[128:132] = both(block_size, 2)
    data[156 : 156 + len(root)] = root
    return bytes(data)


def volume(
    records: Iterable[bytes],
    contents: Mapping[int, bytes] = {},
    *,
    system_use: bytes = b"",
    block_size: int = SECTOR,
    others: Iterable[bytes] = (),
    volume_id: bytes = b"FW_9_9",
) -> bytes:
    """A volume whose root directory has the records; ``contents``: what is at which sector.

    ``others`` are more volume descriptors.
    """
    root = directory(records, block=ROOT, system_use=system_use)
    own = record(b"\0", ROOT * (SECTOR // block_size), len(root), flags=DIRECTORY)
    primary = descriptor(1, own, block_size=block_size, volume_id=volume_id)
    descriptors = [primary, *others, descriptor(255, b"")]
    parts = {16 + number: data for number, data in enumerate(descriptors)} | {ROOT: root}
    parts |= contents
    image = bytearray(max(at * SECTOR + len(data) for at, data in parts.items()))
    for at, data in parts.items():
        image[at * SECTOR : at * SECTOR + len(data)] = data
    return bytes(image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\0"))


def field(signature: bytes, content: bytes) -> bytes:
    """A field of the System Use Sharing Protocol."""
    return signature + bytes([4 + len(content), 1]) + content


def sharing(skipped: int = 0) -> bytes:
    """The field SP, which is in the first record of the root directory."""
    return field(b"SP", b"\xbe\xef" + bytes([skipped]))


def name_field(name: bytes, *, continues: bool = False) -> bytes:
    """A part of the name in Rock Ridge."""
    return field(b"NM", bytes([continues]) + name)


def continuation(block: int, offset: int, length: int) -> bytes:
    """The field CE: more fields are elsewhere."""
    return field(b"CE", both(block) + both(offset) + both(length))
