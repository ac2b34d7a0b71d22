"""Images of genisoimage and xorriso with every option that changes names, and images of Debian.

isoinfo and xorriso list what the reader lists, so that two programs by other authors agree with it.
"""

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from spsd.slots.iso9660.inspector import read_iso
from spsd.slots.iso9660.records import plain_name
from spsd.slots.iso9660.source import open_source
from spsd.slots.iso9660.volume import read_volume
from spsd.slots.model import ImageInfo
from testbed import needs

pytestmark = [pytest.mark.timeout(120)]
LONG = "a-very-long-name-" * 14

GENISOIMAGE = {
    **{f"level {level}": ["-iso-level", f"{level}"] for level in (1, 2, 3, 4)},
    "rock ridge": ["-R"],
    "rationalized rock ridge": ["-r"],
    "joliet": ["-J", "-joliet-long"],
    "both": ["-R", "-J", "-joliet-long"],
    "level 2 with both": ["-iso-level", "2", "-R", "-J", "-joliet-long"],
    "level 4 with rock ridge": ["-iso-level", "4", "-R"],
    "untranslated": ["-U"],
    "untranslated, rock ridge": ["-U", "-R"],
    "31 characters": ["-l"],
    "37 characters": ["-max-iso9660-filenames"],
    "lower case": ["-allow-lowercase"],
    "relaxed": ["-relaxed-filenames"],
    "dots": ["-allow-leading-dots"],
    "more dots": ["-allow-multidot", "-iso-level", "2"],
    "no version": ["-N"],
    "no dot": ["-d"],
    "neither, lower case": ["-N", "-d", "-allow-lowercase", "-allow-leading-dots"],
    "no translation": ["-no-iso-translate"],
    "translation table": ["-R", "-T"],
    "hidden": ["-R", "-hidden", "firmware.toml"],
    "deep": ["-R", "-D"],
    "udf bridge": ["-udf", "-allow-limited-size"],
    "udf bridge with both": ["-udf", "-allow-limited-size", "-R", "-J", "-joliet-long"],
    "hfs": ["-hfs", "-R"],
    "apple": ["-apple", "-R"],
    "not in joliet": ["-R", "-J", "-joliet-long", "-hide-joliet", "firmware.toml"],
    "only in joliet": ["-J", "-joliet-long", "-hide", "firmware.toml"],
    "padded": ["-R", "-pad"],
    "not padded": ["-R", "-no-pad"],
    "xa": ["-R", "-XA"],
}
XORRISO = {
    **{f"level {level}": ["-iso-level", f"{level}"] for level in (1, 2, 3, 4)},
    "joliet": ["-J", "-joliet-long"],
    "both": ["-R", "-J", "-joliet-long"],
    "untranslated": ["-U"],
    "lower case": ["-allow-lowercase"],
    "relaxed": ["-relaxed-filenames"],
    "dots": ["-allow-leading-dots", "-iso-level", "2"],
    "no version": ["-N", "-d"],
    "untranslated names": ["-untranslated-filenames"],
    "hfs plus": ["-hfsplus"],
    "partition": ["-R", "-partition_offset", "16"],
    "appended partition": ["-R", "-append_partition", "2", "0xef", "SOURCE/payload.bin"],
    "md5": ["-R", "--md5"],
    "xattr": ["-R", "--xattr", "--acl"],
    "emulated toc": ["--emul-toc"],
}
XORRISO_PLAIN = {
    "level 1": "iso_9660_level=1",
    "level 2": "iso_9660_level=2",
    "level 3": "iso_9660_level=3",
    "lower case": "iso_9660_level=2:lowercase",
    "7 bit": "iso_9660_level=2:7bit_ascii",
    "all relaxed": "iso_9660_level=3:lowercase:full_ascii:no_force_dots:omit_version",
    "long": "iso_9660_level=3:long_paths:long_names",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("source")
    (root / "firmware.toml").write_text('version = "2.5.0"\n')
    (root / ".disk").mkdir()
    (root / ".disk" / "info").write_text('Lab 3.1 "Installer"\n')
    (root / "payload.bin").write_bytes(b"x" * 70_000)
    (root / "empty").touch()
    (root / "Ünïcode ☃.txt").touch()
    (root / "link").symlink_to("/" + LONG)
    (root / "firmware.toml.old").write_text('version = "0.1"\n')
    (root / LONG).touch()
    (root / "a/b/c/d/e/f/g/h/i").mkdir(parents=True)
    (root / "a/b/c/d/e/f/g/h/i/firmware.toml").write_text('version = "6.6.6"\n')
    for number in range(100):
        (root / f"file-{number}.data").touch()
    with (root / "sparse").open("wb") as sparse:
        os.truncate(sparse.fileno(), 10_000_000)
    return root


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def genisoimage(source: Path, image: Path, options: Iterable[str]) -> Path:
    run("genisoimage", "-quiet", "-V", "FW_9_9", *options, "-o", image, source)
    return image


def xorriso(source: Path, image: Path, options: Iterable[str]) -> Path:
    options = [option.replace("SOURCE", str(source)) for option in options]
    run("xorriso", "-as", "mkisofs", "-quiet", "-V", "FW_9_9", *options, "-o", image, source)
    return image


def xorriso_plain(source: Path, image: Path, compliance: str) -> Path:
    options = ("-rockridge", "off", "-compliance", compliance)
    run("xorriso", *options, "-outdev", image, "-map", source, "/", "-volid", "FW_9_9")
    return image


def check(image: Path, source: Path, make) -> None:
    """The version is that of ``firmware.toml``; without that file, of ``.disk/info``."""
    assert read_iso(image) == ImageInfo("2.5.0")
    image.unlink()
    toml = source / "firmware.toml"
    content = toml.read_bytes()
    toml.unlink()
    try:
        make()
    finally:
        toml.write_bytes(content)
    assert read_iso(image) == ImageInfo("3.1", 'Lab 3.1 "Installer"')


@needs.program("genisoimage")
@pytest.mark.parametrize("options", GENISOIMAGE.values(), ids=GENISOIMAGE)
def test_genisoimage(source, tmp_path, options):
    image = tmp_path / "image"
    genisoimage(source, image, options)
    check(image, source, lambda: genisoimage(source, image, options))


@needs.program("xorriso")
@pytest.mark.parametrize("options", XORRISO.values(), ids=XORRISO)
def test_xorriso(source, tmp_path, options):
    image = tmp_path / "image"
    xorriso(source, image, options)
    check(image, source, lambda: xorriso(source, image, options))


@needs.program("xorriso")
@pytest.mark.parametrize("compliance", XORRISO_PLAIN.values(), ids=XORRISO_PLAIN)
def test_xorriso_without_rock_ridge(source, tmp_path, compliance):
    image = tmp_path / "image"
    xorriso_plain(source, image, compliance)
    check(image, source, lambda: xorriso_plain(source, image, compliance))


# --- What other programs list ---


def names_in_root(image: Path, number: int) -> set[str]:
    """The names in the root directory of the first, second, … tree of the reader."""
    with open_source(image) as opened:
        tree = read_volume(opened).trees[number]
        return {entry.name for entry in tree.entries(tree.root)}


def isoinfo_names(image: Path, *options: str) -> set[str]:
    """The names in the root directory that isoinfo lists."""
    lines = run("isoinfo", "-f", *options, "-i", image).splitlines()
    return {line[1:] for line in lines if line.count("/") == 1}


def xorriso_names(image: Path) -> set[str]:
    listed = run("xorriso", "-indev", image, "-find", "/", "-maxdepth", "1", "-exec", "echo")
    return {line.strip("'")[1:] for line in listed.splitlines() if line not in ("'/'", "")}


def ascii_names(names: Iterable[str]) -> set[str]:
    """Without those that isoinfo cannot print."""
    return {name for name in names if name.isascii()}


@needs.program("genisoimage", "isoinfo")
@pytest.mark.parametrize("level", ["1", "2", "3", "4"])
def test_isoinfo_lists_the_same_names(source, tmp_path, level):
    options = ["-iso-level", level, "-R", "-J", "-joliet-long"]
    image = genisoimage(source, tmp_path / "image", options)
    # isoinfo does not list the directory of those that were too deep.
    found = ascii_names(names_in_root(image, 0)) - {"rr_moved"}
    assert found == ascii_names(isoinfo_names(image, "-R")) - {"rr_moved"}
    found = ascii_names(names_in_root(image, 1)) - {"rr_moved"}
    listed = {name.lower() for name in isoinfo_names(image, "-J")}
    assert found == ascii_names(listed) - {"rr_moved"}
    plain = genisoimage(source, tmp_path / "plain", ["-iso-level", level])
    listed = {plain_name(name) for name in isoinfo_names(plain)}
    assert ascii_names(names_in_root(plain, -1)) == ascii_names(listed)


@needs.program("xorriso")
@pytest.mark.parametrize("options", [["-R"], ["-R", "-J", "-joliet-long"], ["--md5", "--acl"]])
def test_xorriso_lists_the_same_names(source, tmp_path, options):
    image = xorriso(source, tmp_path / "image", options)
    assert names_in_root(image, 0) == xorriso_names(image)
    assert LONG in names_in_root(image, 0)


# --- Images of Debian ---

REAL = {
    "/usr/lib/grub-rescue/grub-rescue-cdrom.iso": "grub-rescue-pc",
    "/usr/lib/ipxe/ipxe.iso": "ipxe",
    "/usr/lib/memtest86+/memtest86+x64.iso": "memtest86+",
    "/usr/lib/memtest86+/memtest86+ia32.iso": "memtest86+",
}


def real(path: str) -> Sequence[pytest.MarkDecorator]:
    return [needs.file(path, REAL[path]), needs.program("isoinfo", "xorriso")]


@pytest.mark.parametrize(
    "image", [pytest.param(Path(path), marks=real(path), id=Path(path).name) for path in REAL]
)
def test_real_images(image):
    """They have no version: it is the id of the volume, as isoinfo reads it."""
    described = run("isoinfo", "-d", "-i", image)
    [volume_id] = [line for line in described.splitlines() if line.startswith("Volume id: ")]
    assert read_iso(image) == ImageInfo(volume_id.removeprefix("Volume id: ").strip())
    names = names_in_root(image, 0)
    assert names
    assert names == isoinfo_names(image, "-R") == xorriso_names(image)
