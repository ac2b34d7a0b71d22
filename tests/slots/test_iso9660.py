"""The reader of volumes: names, extents and bounds, with volumes that no program would write."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spsd.failures import ApplianceError, FailureCode, ImageError
from spsd.slots.iso9660.inspector import read_image, read_iso, read_source
from spsd.slots.iso9660.source import BYTES_LIMIT, READS_LIMIT, open_source
from spsd.slots.iso9660.volume import FILE_LIMIT
from spsd.slots.model import ImageInfo
from testbed.iso import build_iso
from testbed.iso_parts import (
    DIRECTORY,
    MULTI_EXTENT,
    ROOT,
    SECTOR,
    continuation,
    descriptor,
    directory,
    field,
    name_field,
    record,
    sharing,
    volume,
)

TOML = b'version = "2.5"'
AT = 100
"""The sector of the file in most volumes here."""
VOLUME_ID = ImageInfo("9.9")


def info_of(data: bytes | bytearray, path: Path) -> ImageInfo:
    path.write_bytes(data)
    return read_iso(path)


@pytest.fixture
def read(tmp_path):
    return lambda data: info_of(data, tmp_path / "image")


def with_file(name, **more):
    return volume([record(name, AT, len(TOML))], {AT: TOML}, **more)


@pytest.mark.parametrize(
    "name",
    [
        *(b"FIRMWARE.TOM;1", b"FIRMWARE.TOML;1", b"FIRMWARE.TOML", b"firmware.toml"),
        *(b"firmware.tom;1", b"FIRMWARE.TOM.;1", b"Firmware.Toml;32767"),
    ],
)
def test_names_without_extensions(read, name):
    assert read(with_file(name)) == ImageInfo("2.5")


@pytest.mark.parametrize(
    "name", [b"FIRMWARE.TO;1", b"FIRMWARE.TOML;X", b";1", b"AFIRMWARE.TOML", b"\xff\xfe"]
)
def test_other_names(read, name):
    assert read(with_file(name)) == VOLUME_ID


@pytest.mark.parametrize("name", [b"_DISK", b".DISK", b".disk", b".DIS", b"_disk"])
@pytest.mark.parametrize("info", [b"INFO.;1", b"INFO", b"info", b"info.", b"INFO;1"])
def test_names_of_disk_info(read, name, info):
    disk = directory([record(info, AT, 7)], block=50)
    data = volume(
        [record(name, 50, SECTOR, flags=DIRECTORY), record(name, AT, 7)],
        {50: disk, AT: b"Lab 3.1"},
    )
    assert read(data) == ImageInfo("3.1", "Lab 3.1")


def test_the_whole_name_is_preferred_to_the_shortened_one(read):
    data = volume(
        [record(b"FIRMWARE.TOM;1", AT, len(TOML)), record(b"FIRMWARE.TOML;1", AT + 1, len(TOML))],
        {AT: b'version = "1.0"', AT + 1: TOML},
    )
    assert read(data) == ImageInfo("2.5")


def test_an_associated_file_is_another_fork_of_the_file(read):
    records = [
        record(b"FIRMWARE.TOML;1", AT + 1, len(TOML), flags=0x04),
        record(b"FIRMWARE.TOML;1", AT, len(TOML)),
    ]
    assert read(volume(records, {AT: TOML, AT + 1: b'version = "6.6"'})) == ImageInfo("2.5")


def test_kinds_matter(read):
    """A directory ``firmware.toml`` and a file ``.disk`` are not what is sought."""
    records = [record(b"firmware.toml", AT, len(TOML), flags=DIRECTORY), record(b".disk", 50, 2048)]
    disk = directory([record(b"info", AT, 7)], block=50)
    assert read(volume(records, {AT: TOML, 50: disk})) == VOLUME_ID


def test_a_file_in_several_extents(read):
    """A level 3 file of several sections; an empty one and one of another file do not count."""
    parts = [b"vers", b"ion = ", b'"2.5"']
    name = b"FIRMWARE.TOML;1"
    records = [
        record(b"FIRMWARE.A;1", 90, 3, flags=MULTI_EXTENT),
        record(name, AT, len(parts[0]), flags=MULTI_EXTENT),
        record(name, 0, 0, flags=MULTI_EXTENT),
        record(name, AT + 1, len(parts[1]), flags=MULTI_EXTENT),
        record(name, AT + 2, len(parts[2])),
    ]
    contents = {90: b"xxx"} | {AT + number: part for number, part in enumerate(parts)}
    assert read(volume(records, contents)) == ImageInfo("2.5")


def test_a_file_in_too_many_extents_is_not_read(read):
    """What is remembered of a file is bounded; its content is not read in part."""
    records = [record(b"FIRMWARE.TOML;1", AT, 1, flags=MULTI_EXTENT)] * 100_000
    records.append(record(b"FIRMWARE.TOML;1", AT, 1))
    assert read(volume(records, {})) == VOLUME_ID


@pytest.mark.parametrize("block_size", [512, 1024])
def test_smaller_logical_blocks(read, block_size):
    records = [record(b"FIRMWARE.TOML;1", AT * SECTOR // block_size + 1, len(TOML))]
    data = volume(records, {AT: bytes(block_size) + TOML}, block_size=block_size)
    assert read(data) == ImageInfo("2.5")


def test_an_extended_attribute_record_precedes_the_data(read):
    data = volume(
        [record(b"FIRMWARE.TOML;1", AT, len(TOML), attributes=2)], {AT + 2: TOML, AT: b"x = 1"}
    )
    assert read(data) == ImageInfo("2.5")


def test_the_little_endian_number_counts(read):
    found = bytearray(record(b"FIRMWARE.TOML;1", AT, len(TOML)))
    found[6:10], found[14:18] = b"\xff" * 4, b"\xff" * 4
    assert read(volume([bytes(found)], {AT: TOML})) == ImageInfo("2.5")


@pytest.mark.parametrize(
    ("block", "length"),
    [(AT, FILE_LIMIT + 1), (AT, 2**32 - 1), (2**32 - 1, len(TOML)), (AT, 3000), (AT, 0)],
)
def test_a_file_that_is_too_long_or_not_in_the_image_is_not_read(read, block, length):
    data = volume([record(b"FIRMWARE.TOML;1", block, length)], {AT: TOML})
    assert read(data) == VOLUME_ID


def test_a_file_of_the_longest_length(read):
    text = TOML.ljust(FILE_LIMIT)
    assert read(volume([record(b"FIRMWARE.TOML;1", AT, FILE_LIMIT)], {AT: text})) == ImageInfo(
        "2.5"
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 100, b"[" * FILE_LIMIT, b"version = 1e"])
def test_after_an_unreadable_file_the_next_one_counts(read, content):
    disk = directory([record(b"info", AT, 7)], block=50)
    records = [
        record(b"firmware.toml", AT + 1, len(content)),
        record(b".disk", 50, SECTOR, flags=DIRECTORY),
    ]
    data = volume(records, {50: disk, AT: b"Lab 3.1", AT + 1: content})
    assert read(data) == ImageInfo("3.1", "Lab 3.1")


# --- Rock Ridge ---


def rock_ridge(fields, *, skipped=0, prefix=b"", contents=None, name=b"A.;1"):
    found = record(name, AT, len(TOML), system_use=bytes(skipped) + fields)
    data = {AT: TOML} | (contents or {})
    return volume([found], data, system_use=prefix + sharing(skipped))


NAME = b"firmware.toml"
PADDING = field(b"PX", bytes(40))


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        (name_field(NAME), {}),
        (PADDING + name_field(NAME), {}),
        (name_field(NAME), {"skipped": 5}),
        (name_field(NAME), {"skipped": 14, "prefix": bytes(14)}),
        (name_field(NAME[:4], continues=True) + PADDING + name_field(NAME[4:]), {}),
        (continuation(110, 70, 100) + PADDING, {"contents": {110: bytes(70) + name_field(NAME)}}),
        (
            name_field(NAME[:4], continues=True) + continuation(110, 0, 2048),
            {"contents": {110: PADDING + name_field(NAME[4:])}},
        ),
        (
            continuation(110, 0, 28),
            {"contents": {110: continuation(111, 3, 99), 111: b"xxx" + name_field(NAME)}},
        ),
        # Without NM the name is that of the record, as in Linux.
        (PADDING, {"name": b"FIRMWARE.TOML;1"}),
        (field(b"NM", b"\2") + name_field(NAME), {}),
    ],
)
def test_rock_ridge_names(read, fields, more):
    assert read(rock_ridge(fields, **more)) == ImageInfo("2.5")


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        (name_field(b"FIRMWARE.TOML"), {}),
        (name_field(b"other"), {"name": b"FIRMWARE.TOML;1"}),
        (name_field(NAME), {"skipped": 1, "prefix": b"x"}),
        (field(b"ST", b"") + name_field(NAME), {}),
        (field(b"NM", b""), {}),
        (b"NM\x03\x01" + name_field(NAME), {}),
        (b"NM\xff\x01\x00" + NAME, {}),
        (
            continuation(110, 0, 2048),
            {"contents": {110: name_field(b"a" * 200, continues=True) * 9 + name_field(b"a")}},
        ),
        # A chain that leads to itself, one that grows a name for ever, areas beyond the image.
        (continuation(110, 0, 28), {"contents": {110: continuation(110, 0, 28)}}),
        (
            continuation(110, 0, 60),
            {"contents": {110: name_field(b"a", continues=True) + continuation(110, 0, 60)}},
        ),
        (continuation(2**32 - 1, 2**32 - 1, 2**32 - 1), {}),
        (continuation(110, 0, 0), {}),
        (b"CE\x08\x01aaaa", {}),
    ],
)
def test_rock_ridge_fields_without_the_name(read, fields, more):
    assert read(rock_ridge(fields, **more)) == VOLUME_ID


# --- Joliet, and the order of the trees ---


def joliet(name: str, **more):
    root = directory([record(name.encode("utf-16-be"), AT + 5, 15)], block=60)
    own = record(b"\0", 60, len(root), flags=DIRECTORY)
    svd = descriptor(2, own, **({"escape": b"%/E"} | more))
    return svd, {60: root, AT + 5: b'version = "7.7"'}


@pytest.mark.parametrize("escape", [b"%/@", b"%/C", b"%/E"])
@pytest.mark.parametrize("name", ["firmware.toml", "firmware.toml;1", "Firmware.TOML"])
def test_joliet(read, escape, name):
    svd, contents = joliet(name, escape=escape)
    assert read(volume([], contents, others=[svd])) == ImageInfo("7.7")
    # Joliet's names are whole, those of the primary tree may be shortened.
    records = [record(b"FIRMWARE.TOM;1", AT, len(TOML))]
    assert read(volume(records, contents | {AT: TOML}, others=[svd])) == ImageInfo("7.7")


def test_rock_ridge_is_preferred_to_joliet(read):
    svd, contents = joliet("firmware.toml")
    found = record(b"A.;1", AT, len(TOML), system_use=name_field(NAME))
    image = volume([found], contents | {AT: TOML}, system_use=sharing(), others=[svd])
    assert read(image) == ImageInfo("2.5")
    image = volume([], contents, system_use=sharing(), others=[svd])
    assert read(image) == ImageInfo("7.7")


@pytest.mark.parametrize("name", ["firmware.tom", "f" * 103, "\ud800", ""])
def test_other_joliet_names(read, name):
    root = record(name.encode("utf-16-be", "surrogatepass") or b"\0\0\0", AT, len(TOML))
    svd = descriptor(2, record(b"\0", 60, SECTOR, flags=DIRECTORY), escape=b"%/E")
    assert read(volume([], {60: root, AT: TOML}, others=[svd])) == VOLUME_ID


def test_an_enhanced_tree(read):
    """ISO 9660:1999 (level 4) has a descriptor of version 2; a supplementary one without an escape
    sequence is of some other character set."""
    root = directory([record(b"firmware.toml", AT, len(TOML))], block=60)
    own = record(b"\0", 60, len(root), flags=DIRECTORY)
    contents = {60: root, AT: TOML}
    for version, expected in ((2, ImageInfo("2.5")), (1, VOLUME_ID)):
        image = volume([], contents, others=[descriptor(2, own, version=version)])
        assert read(image) == expected


@pytest.mark.parametrize("block", [10**6, 2**32 - 1])
def test_a_broken_joliet_tree_does_not_count(read, block):
    own = record(b"\0", block, SECTOR, flags=DIRECTORY)
    image = with_file(b"FIRMWARE.TOML;1", others=[descriptor(2, own, escape=b"%/E")])
    assert read(image) == ImageInfo("2.5")


# --- What is no volume ---


def spoilt(at, value):
    data = bytearray(with_file(b"FIRMWARE.TOML;1"))
    data[16 * SECTOR + at : 16 * SECTOR + at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has no volume descriptor at byte 32768"),
        (bytes(40_000), "it has no volume descriptor at byte 32768"),
        (with_file(b"A")[: 17 * SECTOR - 1], "it has no volume descriptor at byte 32768"),
        (spoilt(1, b"CD002"), "it has no volume descriptor at byte 32768"),
        (spoilt(0, b"\xff"), "it has no volume descriptor at byte 32768"),
        (spoilt(0, b"\2"), "it has no primary volume descriptor"),
        (spoilt(128, b"\0\0"), "its logical blocks have 0 bytes"),
        (spoilt(128, b"\xff\xff"), "its logical blocks have 65535 bytes"),
        (spoilt(156, bytes(34)), "its descriptor has no root directory"),
        (spoilt(156, b"\x21"), "its descriptor has no root directory"),
        (spoilt(156 + 25, b"\0"), "its descriptor has no root directory"),
        (spoilt(156 + 10, bytes(4)), "its descriptor has no root directory"),
        (spoilt(156 + 10, b"\xff" * 4), "bytes from 40960 to 4295008255, and the image has 206848"),
        (spoilt(156 + 2, b"\xff" * 4), "and the image has 206848"),
        (with_file(b"A")[: 20 * SECTOR + 5], "from 40960 to 43008, and the image has 40965"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(tmp_path, data, reason):
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(path, accept_any=False)
    assert caught.value.code is FailureCode.NOT_AN_IMAGE
    assert caught.value.what.startswith("the image is no ISO 9660 volume: ")
    assert reason in caught.value.what
    assert caught.value.evidence == {
        "bytes": len(data),
        "begins with": data[:16].hex() or "nothing",
    }
    assert read_image(path, accept_any=True) == ImageInfo("unknown")


@pytest.mark.parametrize(
    ("volume_id", "version"),
    [
        (b"FW_2_7\0garbage", "2.7"),
        (b"\0" * 32, "unknown"),
        (b"", "unknown"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 32, "x" * 32),
        (b"A\x1b[31m\x07", "A\x1b[31m\x07"),
    ],
)
def test_volume_ids(read, volume_id, version):
    assert read(volume([], volume_id=volume_id)) == ImageInfo(version)


# --- Bounds ---


def many_files(count, *, rock_ridge):
    """A flat directory of many files, as genisoimage and xorriso write them."""
    for number in range(count):
        name = b"FILE%06d.BIN;1" % number
        fields = PADDING * 2 + name_field(b"a-longer-name-%06d.bin" % number) if rock_ridge else b""
        yield record(name, 30, 10, system_use=fields)


@pytest.mark.parametrize("rock_ridge", [False, True])
def test_ninety_thousand_files(tmp_path, rock_ridge):
    """The version is found behind all of them; what is read is that directory and little more."""
    path = tmp_path / "image"
    found = record(b"ZZ.;1", 30, len(TOML), system_use=name_field(NAME))
    records = [*many_files(90_000, rock_ridge=rock_ridge), found]
    if not rock_ridge:
        records[-1] = record(b"firmware.toml", 30, len(TOML))
    root = directory(records, block=40, system_use=sharing() if rock_ridge else b"")
    own = record(b"\0", 40, len(root), flags=DIRECTORY)
    image = bytearray(volume([], {30: TOML, 40: root}))
    image[16 * SECTOR : 17 * SECTOR] = descriptor(1, own)
    path.write_bytes(image)
    with open_source(path) as source:
        assert read_source(source) == ImageInfo("2.5")
        assert source.bytes_read < len(root) + 16 * SECTOR
        assert source.reads < len(root) // (32 * SECTOR) + 16


def test_beyond_the_bytes_the_version_is_unknown_and_the_reason_stated(tmp_path):
    """The volume id is not taken: ``firmware.toml`` may be in the rest, with another version."""
    path = tmp_path / "image"
    own = record(b"\0", 40, 2**32 - SECTOR, flags=DIRECTORY)
    data = bytearray(volume([]))
    data[16 * SECTOR : 17 * SECTOR] = descriptor(1, own)
    path.write_bytes(data)
    os.truncate(path, 2**33)
    with open_source(path) as source:
        info = read_source(source)
        assert info.version == "unknown"
        assert info.upgrade_notes == (
            "The version of this image was not read: "
            "more than 33554432 bytes would have to be read."
        )
        assert BYTES_LIMIT - 64 * 1024 < source.bytes_read <= BYTES_LIMIT


@pytest.mark.parametrize("name", [b"A", b"\0"])
def test_beyond_the_records_the_version_is_unknown(read, name):
    records = directory([record(name, 1, 1)] * 250_001, block=40)
    own = record(b"\0", 40, len(records), flags=DIRECTORY)
    data = bytearray(volume([], {40: records}))
    data[16 * SECTOR : 17 * SECTOR] = descriptor(1, own)
    assert read(data) == ImageInfo(
        "unknown",
        "The version of this image was not read: its directories have more than 250000 records.",
    )


def test_beyond_the_reads_the_version_is_unknown(tmp_path):
    """Each record has a chain of continuation areas that leads to itself."""
    path = tmp_path / "image"
    found = record(b"A", AT, 1, system_use=continuation(30, 0, 28))
    path.write_bytes(
        volume(
            [],
            {
                30: continuation(30, 0, 28),
                40: directory([found] * 1000, block=40, system_use=sharing()),
            },
        )
    )
    data = bytearray(path.read_bytes())
    own = record(b"\0", 40, len(data) - 40 * SECTOR, flags=DIRECTORY)
    data[16 * SECTOR : 17 * SECTOR] = descriptor(1, own)
    path.write_bytes(data)
    with open_source(path) as source:
        info = read_source(source)
        assert (info.version, source.reads) == ("unknown", READS_LIMIT)
        assert "more than 8192 reads" in info.upgrade_notes


def test_a_file_is_parsed_once_for_each_tree(tmp_path):
    """A hostile directory has thousands of files ``firmware.toml``, at the same costly content."""
    path = tmp_path / "image"
    content = (b"a = [" + b"1," * FILE_LIMIT)[:FILE_LIMIT]
    path.write_bytes(volume([record(b"firmware.toml", 2000, FILE_LIMIT)] * 5000, {2000: content}))
    with open_source(path) as source:
        assert read_source(source) == VOLUME_ID
        assert source.bytes_read < 10 * FILE_LIMIT


def test_directories_that_lead_to_themselves(read):
    """The reader never goes deeper than two levels."""
    loop = record(b".disk", ROOT, SECTOR, flags=DIRECTORY)
    assert read(volume([loop, record(b"info", ROOT, SECTOR, flags=DIRECTORY)])) == VOLUME_ID


def test_memory_is_bounded(tmp_path):
    """The search in an image of 8 GiB holds less than 2 MiB of Python's memory at once."""
    path = tmp_path / "image"
    own = record(b"\0", 40, 2**32 - SECTOR, flags=DIRECTORY)
    data = bytearray(volume([], {40: directory([record(b"A", 1, 1)] * 50_000, block=40)}))
    data[16 * SECTOR : 17 * SECTOR] = descriptor(1, own)
    path.write_bytes(data)
    os.truncate(path, 2**33)
    code = (
        "import sys, tracemalloc\n"
        "from pathlib import Path\n"
        "from spsd.slots.iso9660.inspector import read_iso\n"
        "tracemalloc.start()\n"
        "read_iso(Path(sys.argv[1]))\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    command = [sys.executable, "-c", code, path]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(run.stdout) < 2 * 1024 * 1024


# --- The disk ---


def test_a_read_error_is_the_disks_fault(tmp_path, monkeypatch):
    build_iso(tmp_path / "image")
    real, calls = os.pread, 0
    with open_source(tmp_path / "image") as source:
        read_source(source)
    for failing in range(1, source.reads + 1):
        calls = 0

        def pread(descriptor, count, at):
            nonlocal calls
            calls += 1
            if calls == failing:  # noqa: B023 - the loop calls it before it goes on
                raise OSError(errno.EIO, "Input/output error")
            return real(descriptor, count, at)

        monkeypatch.setattr(os, "pread", pread)
        for accept_any in (False, True):
            calls = 0
            with pytest.raises(ApplianceError, match="reading the image failed") as caught:
                read_image(tmp_path / "image", accept_any=accept_any)
            assert caught.value.code is FailureCode.DISK
        monkeypatch.undo()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_read(tmp_path, make):
    """The open of a pipe would wait for a writer."""
    make(tmp_path / "image")
    with pytest.raises(ApplianceError, match="it is not a regular file") as caught:
        read_image(tmp_path / "image", accept_any=True)
    assert caught.value.code is FailureCode.DISK


def test_a_file_that_becomes_shorter_meanwhile(tmp_path):
    path = tmp_path / "image"
    build_iso(path)
    with open_source(path) as source:
        os.truncate(path, 17 * SECTOR)
        with pytest.raises(ImageError):
            read_iso(path)
        assert read_source(source) == ImageInfo("SPSD_TEST")
