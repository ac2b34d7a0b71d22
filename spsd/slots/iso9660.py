"""Reads version and notes from the ISO 9660 volume of a staged or an installed image."""

import asyncio
import io
import struct
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from spsd.failures import FailureCode, ImageError
from spsd.slots.model import ImageInfo, from_disk_info, from_firmware_toml, from_volume_id
from spsd.storage.files import as_appliance_errors
from spsd.transfer.ports import StagingKey
from spsd.transfer.staging.partial_file import IMAGE

_FILE_LIMIT = 64 * 1024
_PLAIN_NAMES = {"/firmware.toml": "/FIRMWARE.TOM;1", "/.disk/info": "/_DISK/INFO.;1"}


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

    Raises:
        ImageError: it is no ISO 9660 volume.
    """
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    # The digest of the bytes is verified, but they may be anything: the parser may raise any of
    # these errors.
    except (PyCdlibException, struct.error, ValueError, IndexError, OverflowError) as error:
        with path.open("rb") as file:
            first = file.read(16)
        raise ImageError(
            FailureCode.NOT_AN_IMAGE,
            f"the image is no ISO 9660 volume: {error}",
            {"bytes": path.stat().st_size, "begins with": first.hex() or "nothing"},
        ) from error
    try:
        return _info(iso)
    finally:
        iso.close()


def _info(iso: pycdlib.PyCdlib) -> ImageInfo:
    volume = iso.pvd.volume_identifier.decode("utf-8", errors="replace")
    firmware = _text(iso, "/firmware.toml")
    disk = _text(iso, "/.disk/info")
    return (
        (from_firmware_toml(firmware) if firmware is not None else None)
        or (from_disk_info(disk) if disk is not None else None)
        or from_volume_id(volume)
    )


def _text(iso: pycdlib.PyCdlib, path: str) -> str | None:
    """A text file of at most 64 KiB, from the directory tree with the longest names; None: none."""
    if iso.has_rock_ridge():
        where = {"rr_path": path}
    elif iso.has_joliet():
        where = {"joliet_path": path}
    else:
        where = {"iso_path": _PLAIN_NAMES[path]}
    try:
        if iso.get_record(**where).get_data_length() > _FILE_LIMIT:
            return None
        content = io.BytesIO()
        iso.get_file_from_iso_fp(content, **where)
    except (PyCdlibException, struct.error, ValueError, IndexError):
        return None
    return content.getvalue().decode("utf-8", errors="replace")


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
