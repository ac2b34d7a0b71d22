"""Reads version and notes from the volume of a staged or an installed image."""

import asyncio
from pathlib import Path

from spsd.failures import FailureCode, ImageError
from spsd.slots.iso9660.source import ImageSource, LimitReachedError, open_source
from spsd.slots.iso9660.volume import Entry, NotAVolumeError, Tree, Volume, read_volume
from spsd.slots.model import ImageInfo, from_disk_info, from_firmware_toml, from_volume_id
from spsd.storage.files import as_appliance_errors
from spsd.transfer.ports import StagingKey
from spsd.transfer.staging.partial_file import IMAGE

_FIRMWARE, _DISK, _INFO = "firmware.toml", ".disk", "info"
_SHORT_FIRMWARE, _SHORT_DISKS = "firmware.tom", ("_disk", ".dis")
"""What genisoimage and xorriso make of the two names at level 1 of ISO 9660, or at 1 to 3."""


class IsoInspector:
    """Reads staged images; with ``accept_any`` an image without a volume is accepted."""

    def __init__(self, staging: Path, *, accept_any: bool) -> None:
        self._staging = staging
        self._accept_any = accept_any

    async def inspect(self, key: StagingKey) -> ImageInfo:
        """Read the sealed partial file.

        Raises:
            ImageError: it is no ISO 9660 volume, and only those are accepted.
            ApplianceError: it cannot be read.
        """
        path = self._staging / key / IMAGE
        return await asyncio.to_thread(read_image, path, accept_any=self._accept_any)


class SlotVolume:
    """Reads version and notes of the installed images under ``root``."""

    def __init__(self, root: Path, *, accept_any: bool) -> None:
        self._root = root
        self._accept_any = accept_any

    async def inspect(self, slot: int) -> ImageInfo:
        """Read the image; with ``accept_any`` one without a volume has version ``unknown``.

        Raises:
            ImageError: it is no ISO 9660 volume, and only those are accepted.
            ApplianceError: it cannot be read.
        """
        path = self._root / str(slot) / IMAGE
        return await asyncio.to_thread(read_image, path, accept_any=self._accept_any)


def read_image(path: Path, *, accept_any: bool) -> ImageInfo:
    """Version and notes; with ``accept_any`` an image without a volume has version ``unknown``.

    Raises:
        ImageError: it is no ISO 9660 volume, and only those are accepted.
        ApplianceError: it cannot be read.
    """
    try:
        with as_appliance_errors("reading the image"):
            return read_iso(path)
    except ImageError:
        if accept_any:
            return ImageInfo(version="unknown")
        raise


def read_iso(path: Path) -> ImageInfo:
    """Version and notes from ``firmware.toml``, else from ``.disk/info``, else from the volume id.

    If the bounds of :mod:`spsd.slots.iso9660.source` end the search for these files, the version is
    ``unknown``, and the notes state the reason.

    Raises:
        ImageError: it is no ISO 9660 volume.
        OSError: it cannot be read, or is not a regular file.
    """
    with open_source(path) as source:
        return read_source(source)


def read_source(source: ImageSource) -> ImageInfo:
    """As :func:`read_iso`, of an open file.

    Raises:
        ImageError: it is no ISO 9660 volume.
        OSError: it cannot be read.
    """
    try:
        volume = read_volume(source)
    except NotAVolumeError as error:
        raise ImageError(
            FailureCode.NOT_AN_IMAGE,
            f"the image is no ISO 9660 volume: {error}",
            {"bytes": source.size, "begins with": source.read(0, 16).hex() or "nothing"},
        ) from error
    try:
        return _info_in_files(volume) or from_volume_id(volume.identifier)
    except LimitReachedError as error:
        return ImageInfo("unknown", f"The version of this image was not read: {error}.")


def _info_in_files(volume: Volume) -> ImageInfo | None:
    disks: list[tuple[Tree, Entry]] = []
    for tree in volume.trees:
        info, disk = _read_root(tree)
        if info is not None:
            return info
        if disk is not None:
            disks.append((tree, disk))
    return next((info for tree, disk in disks if (info := _read_disk(tree, disk))), None)


def _read_root(tree: Tree) -> tuple[ImageInfo | None, Entry | None]:
    """What the tree's ``firmware.toml`` contains, and its directory ``.disk``.

    The search ends at a good file with the whole name. Each name counts once: a directory of a
    hostile image may have thousands of files of one name.
    """
    files = [_FIRMWARE, _SHORT_FIRMWARE] if tree.shortened else [_FIRMWARE]
    directories = [_DISK, *_SHORT_DISKS] if tree.shortened else [_DISK]
    found: dict[str, Entry] = {}
    for entry in tree.entries(tree.root):
        wanted = directories if entry.is_directory else files
        if entry.name not in wanted or entry.name in found:
            continue
        found[entry.name] = entry
        if entry.name == _FIRMWARE and (info := _read_firmware(tree, entry)) is not None:
            return info, None
    short = found.get(_SHORT_FIRMWARE)
    info = _read_firmware(tree, short) if short is not None else None
    return info, next((found[name] for name in directories if name in found), None)


def _read_firmware(tree: Tree, file: Entry) -> ImageInfo | None:
    text = tree.read_text(file)
    return from_firmware_toml(text) if text is not None else None


def _read_disk(tree: Tree, directory: Entry) -> ImageInfo | None:
    """What the first file ``info`` in the directory ``.disk`` contains."""
    for entry in tree.entries(directory):
        if entry.name == _INFO and not entry.is_directory:
            text = tree.read_text(entry)
            return from_disk_info(text) if text is not None else None
    return None
