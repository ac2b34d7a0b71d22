"""Sound images with changed bytes: each is read, or refused as no image, within the bounds."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.failures import FailureCode, ImageError
from spsd.slots.iso9660.inspector import read_image, read_source
from spsd.slots.iso9660.source import BYTES_LIMIT, READS_LIMIT, RECORDS_LIMIT, open_source
from spsd.slots.model import TEXT_LIMIT, VERSION_LIMIT, ImageInfo
from testbed.iso import build_iso
from testbed.iso_parts import (
    DIRECTORY,
    MULTI_EXTENT,
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

MANY, LONG = 2000, 100_000
"""How many images are changed; the second with ``--long``."""
BEGIN = 16 * SECTOR
INTERESTING = (0, 1, 2, 16, 19, 20, 21, 28, 33, 34, 255, 2047, 2048, 2**16, 2**31 - 1, 2**32 - 1)


def every_feature() -> bytes:
    """A volume with each thing that the reader knows: parts of names, areas, extents, trees."""
    areas = field(b"PX", bytes(40)) + name_field(b".toml") + continuation(30, 100, 60)
    disk_name = name_field(b".disk")
    records = [
        record(
            b"A;1",
            32,
            9,
            flags=MULTI_EXTENT,
            system_use=name_field(b"firmware", continues=True) + continuation(30, 7, 200),
        ),
        record(
            b"A;1",
            33,
            7,
            system_use=name_field(b"firmware", continues=True) + continuation(30, 7, 200),
        ),
        record(b"D", 34, SECTOR, flags=DIRECTORY, system_use=disk_name),
    ]
    joliet = directory([record("firmware.toml".encode("utf-16-be"), 36, 15)], block=35)
    own = record(b"\0", 35, SECTOR, flags=DIRECTORY)
    return volume(
        records,
        {
            30: bytes(7) + areas,
            32: b"version =",
            33: b' "2.5"\n',
            34: directory([record(b"INFO.;1", 31, 7)], block=34),
            31: b"Lab 2.5",
            35: joliet,
            36: b'version = "2.5"',
        },
        system_use=sharing(),
        others=[descriptor(2, own, escape=b"%/E"), descriptor(2, own, version=2)],
        volume_id=b"FW_2_5",
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> list[bytes]:
    path = tmp_path_factory.mktemp("iso") / "image"
    built = [
        build_iso(path, trees=trees, disk_info="Lab 2.5", volume_id="FW_2_5").read_bytes()
        for trees in ("joliet", "rr", "plain")
    ]
    return [*built, every_feature()]


def test_the_sound_ones_are_read(sound, tmp_path):
    for data in sound:
        (tmp_path / "image").write_bytes(data)
        assert read_image(tmp_path / "image", accept_any=False).version in {"2.5.0", "2.5"}


def bytes_in_use(data: bytes) -> list[int]:
    """The offsets of what is not zero: a change elsewhere changes little."""
    return [at for at in range(BEGIN, len(data)) if data[at]]


def one_byte(data: bytearray, used: list[int], chance: random.Random) -> None:
    data[chance.choice(used)] = chance.randrange(256)


def one_bit(data: bytearray, used: list[int], chance: random.Random) -> None:
    data[chance.choice(used)] ^= 1 << chance.randrange(8)


def a_number(data: bytearray, used: list[int], chance: random.Random) -> None:
    """A number of two or four bytes, as a location or a length has them."""
    at, size = chance.choice(used), chance.choice((2, 4))
    value = min(chance.choice(INTERESTING), 256**size - 1)
    data[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def a_copy(data: bytearray, used: list[int], chance: random.Random) -> None:
    """A piece of the image at another place, so that records and fields are where none belong."""
    length = chance.choice((4, 28, 34, 60, 200, SECTOR))
    source, target = chance.choice(used), chance.choice(used)
    data[target : target + length] = data[source : source + length]


def a_hole(data: bytearray, used: list[int], chance: random.Random) -> None:
    at, length = chance.choice(used), chance.choice((1, 16, SECTOR))
    data[at : at + length] = chance.choice((b"\0", b"\xff")) * length


def an_end(data: bytearray, used: list[int], chance: random.Random) -> None:
    del data[chance.randrange(BEGIN, len(data) + 1) :]


CHANGES: tuple[Callable[[bytearray, list[int], random.Random], None], ...] = (
    *(one_byte, one_bit, a_number, a_copy, a_hole),
)


def changed(sound: list[bytes], count: int, chance: random.Random) -> Iterator[bytearray]:
    used = [bytes_in_use(data) for data in sound]
    for number in range(count):
        which = number % len(sound)
        data = bytearray(sound[which])
        for _ in range(chance.choice((1, 1, 2, 3, 8, 40))):
            chance.choice(CHANGES)(data, used[which], chance)
        if chance.random() < 0.1:
            an_end(data, used[which], chance)
        yield data


def answer(path: Path) -> ImageInfo | None:
    """The answer to the bytes; None: they are no volume. Each other error fails the test."""
    with open_source(path) as source:
        info = refusal = None
        try:
            info = read_source(source)
        except ImageError as error:
            refusal = error
        assert source.bytes_read <= BYTES_LIMIT
        assert source.reads <= READS_LIMIT
        # The records of one piece are counted at once.
        assert source.records <= RECORDS_LIMIT + 32 * SECTOR // 34
    if refusal is not None:
        assert refusal.code is FailureCode.NOT_AN_IMAGE
        assert len(str(refusal)) < 1000
    if info is not None:
        assert 0 < len(info.version) <= VERSION_LIMIT
        assert len(info.upgrade_notes) <= TEXT_LIMIT
        assert len(info.upgrade_news or "") <= TEXT_LIMIT
    assert read_image(path, accept_any=True) == (info or ImageInfo("unknown"))
    return info


@pytest.mark.timeout(600)
def test_images_with_changed_bytes(sound, tmp_path, request, tally):
    path, count = tmp_path / "image", LONG if request.config.getoption("--long") else MANY
    versions = set()
    # A seed is fixed: each run of the tests has the same images, and the long one has more.
    for data in changed(sound, count, random.Random(16)):
        path.write_bytes(data)
        info = answer(path)
        versions.add(info.version if info is not None else None)
    # The changes reach all of it: there are refusals, other versions, and bounds that are reached.
    assert {None, "2.5", "2.5.0"} < versions
    tally("images with changed bytes read or refused, within the bounds", count)


@settings(deadline=None)
@given(st.data())
def test_any_records_and_fields(tmp_path_factory, data):
    """Directories of records that Hypothesis puts together, with any names and fields."""
    names = st.one_of(
        st.sampled_from([b"FIRMWARE.TOML;1", b"firmware.toml", b".disk", b"INFO", b"_DISK"]),
        st.binary(min_size=1, max_size=30),
    )
    numbers = st.one_of(st.sampled_from(INTERESTING), st.integers(0, 60))
    fields = st.one_of(
        st.builds(name_field, st.sampled_from([b"firmware.toml", b"firm", b".disk", b"info"])),
        st.builds(continuation, numbers, numbers, numbers),
        st.builds(
            field, st.sampled_from([b"NM", b"CE", b"SP", b"ST", b"PX"]), st.binary(max_size=9)
        ),
        st.binary(max_size=12),
    )
    system_use = st.lists(fields, max_size=4).map(b"".join)
    one = st.builds(
        record,
        names,
        numbers,
        numbers,
        flags=st.integers(0, 255),
        attributes=st.integers(0, 255),
        system_use=system_use,
    )
    records = st.lists(one, max_size=12)
    content = st.one_of(
        st.binary(max_size=300),
        system_use,
        records.map(lambda found: directory(found, block=30)),
        st.sampled_from([b'version = "2.5"', b"Lab 2.5"]),
    )
    image = volume(
        data.draw(records),
        data.draw(st.dictionaries(st.integers(21, 60), content, max_size=4)),
        system_use=data.draw(st.one_of(st.just(b""), st.just(sharing()), system_use)),
        block_size=data.draw(st.sampled_from([512, 1024, 2048])),
        others=[
            descriptor(
                2,
                data.draw(one),
                escape=data.draw(st.sampled_from([b"%/E", b"", b"%/@"])),
                version=data.draw(st.sampled_from([1, 2])),
            )
        ],
        volume_id=data.draw(st.binary(max_size=32)),
    )
    path = tmp_path_factory.mktemp("iso") / "image"
    path.write_bytes(image)
    answer(path)
