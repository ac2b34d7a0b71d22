"""The next empty slot, and the version and notes in the texts of an image."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.digest import Sha256
from spsd.slots.model import (
    KEY_PARTS_LIMIT,
    TEXT_LIMIT,
    VERSION_LIMIT,
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
    assert (TEXT_LIMIT, VERSION_LIMIT) == (16_384, 256)
    long = "x" * (TEXT_LIMIT + 1)
    info = from_firmware_toml(f'version = "{long}"\nupgrade_notes = "{long}"')
    assert (len(info.version), len(info.upgrade_notes)) == (VERSION_LIMIT, TEXT_LIMIT)
    assert len(from_disk_info(f"1.2 {long}").upgrade_notes) == TEXT_LIMIT
    assert from_disk_info("1." * VERSION_LIMIT).version == "1." * (VERSION_LIMIT // 2)


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 16 + " = 1",
        'version = "2.5"\n' + "a . " * 16 + "a = 1",
        'version = "2.5"\n' + "a\t.\t" * 16 + "a = 1",
        'version = "2.5"\n[' + "'a.b'." * 16 + "a]",
        'version = "2.5"\nb = """\\"""" # "\n' + '"a". ' * 16 + "a = 1",
        "version = '2.5'\nb = " + "[" * 30_000,
        "version = '2.5'\nb = " + "{b = " * 10_000,
        "version = '2.5'\nb = " + "1" * 30_000,
        "version = '2.5'\nb = 1979-05-27T07:32:00+99:99",
    ],
)
def test_what_would_stall_or_end_tomllib_is_no_firmware_toml(text):
    assert from_firmware_toml(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 15 + " = 1",
        f'upgrade_notes = "{"One. " * 50}"',
        f'upgrade_notes = """\n{"a.b." * 50}"""',
        f"upgrade_notes = '{'a.' * 50}'",
        f"upgrade_notes = '''\n{'a.' * 50}'{'a.' * 50}'''",
        "# " + "a." * 50,
        "b = [" + "1.5, " * 50 + "]",
        'upgrade_notes = """' + "a." * 50 + '"""""',
        'upgrade_notes = "' + "a." * 50 + '\\""',
    ],
)
def test_dots_outside_keys_are_not_counted(text):
    assert from_firmware_toml(f'version = "2.5"\n{text}\n').version == "2.5"


@given(st.text(alphabet="""ab."'#[]{}=,\\\n 1"""), st.integers(0, 40))
def test_a_key_that_tomllib_reads_is_counted(text, parts):
    """Whatever stands before it: a key that tomllib accepts there is found."""
    key = ".".join(["k"] * (parts + 1))
    text = f"version = '1.2'\n{text}\n{key} = 1\n"
    try:
        accepted = isinstance(tomllib.loads(text).get("k"), dict | int)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    if accepted and parts >= KEY_PARTS_LIMIT:
        assert from_firmware_toml(text) is None


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
