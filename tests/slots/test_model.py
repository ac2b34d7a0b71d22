"""The next empty slot, and the version and notes in the texts of an image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.digest import Sha256
from spsd.slots.model import (
    TEXT_LIMIT,
    BrokenSlot,
    ImageInfo,
    InstalledImage,
    from_disk_info,
    from_firmware_toml,
    from_volume_id,
    lowest_empty,
)

DIGEST = Sha256("0123456789abcdef" * 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('version = " 2.5 "', ImageInfo("2.5")),
        ('version = "2"\nupgrade_notes = "n"\nupgrade_news = "w"', ImageInfo("2", "n", "w")),
        ('version = "2"\nupgrade_notes = 5\nupgrade_news = []', ImageInfo("2")),
        ("version = 2.5", None),
        ('version = "  "', None),
        ('other = "2"', None),
        ("no toml", None),
        ("", None),
    ],
)
def test_firmware_toml(text, expected):
    assert from_firmware_toml(text) == expected


def test_long_texts_are_truncated():
    assert TEXT_LIMIT == 16_384
    long = "x" * (TEXT_LIMIT + 1)
    info = from_firmware_toml(f'version = "{long}"\nupgrade_notes = "{long}"')
    assert (len(info.version), len(info.upgrade_notes)) == (TEXT_LIMIT, TEXT_LIMIT)
    assert len(from_disk_info(f"1.2 {long}").upgrade_notes) == TEXT_LIMIT


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    from_firmware_toml(text)
    from_disk_info(text)
    assert from_volume_id(text).version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Debian GNU/Linux 12.5.0 _Bookworm_\nmore 9.9", "12.5.0"),
        ("\n  Lab 3.1-rc1 \n", "3.1-rc1"),
        ("no number 7", None),
        ("", None),
    ],
)
def test_disk_info(text, version):
    info = from_disk_info(text)
    assert (info.version if info else None) == version


@pytest.mark.parametrize(
    ("name", "version"),
    [("FW_2_7_1   ", "2.7.1"), ("fw 2.7", "2.7"), ("LAB", "LAB"), ("   ", "unknown")],
)
def test_volume_id(name, version):
    assert from_volume_id(name) == ImageInfo(version)


IMAGE = InstalledImage(DIGEST, 1, ImageInfo("1"), "job", 0)


@pytest.mark.parametrize(
    ("slots", "reserved", "expected"),
    [
        ({}, (), None),
        ({1: None, 2: None}, (), 1),
        ({2: None, 1: None}, (), 1),
        ({1: IMAGE, 2: None}, (), 2),
        ({1: BrokenSlot("?"), 2: None}, (), 2),
        ({1: None, 2: None}, {1}, 2),
        ({1: None, 2: IMAGE}, {1}, None),
    ],
)
def test_the_lowest_empty_slot_is_taken(slots, reserved, expected):
    assert lowest_empty(slots, reserved) == expected
