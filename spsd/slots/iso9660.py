"""What the ISO 9660 volume of an image says of its version, staged or installed."""

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
    """Reads version and notes from an ISO; with ``accept_any``, what is no ISO passes as raw."""

    def __init__(self, staging: Path, *, accept_any: bool) -> None:
        self._staging = staging
        self._accept_any = accept_any

    async def inspect(self, key: StagingKey) -> ImageInfo:
        """Look into the sealed partial.

        Raises:
            ImageError: it is no ISO 9660 volume, and only those are accepted.
            ApplianceError: it cannot be read.
        """
        path = self._staging / key / IMAGE
        return await asyncio.to_thread(read_image, path, accept_any=self._accept_any)


def read_image(path: Path, *, accept_any: bool) -> ImageInfo:
    """What the image says of itself; with ``accept_any`` what is no ISO is version ``unknown``.

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
    """What the volume says of itself: ``firmware.toml``, else ``.disk/info``, else its id.

    Raises:
        ImageError: it is no ISO 9660 volume.
    """
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    # The parser is fed bytes that are proven but may be anything.
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
    """A small text file, by the name that the richest directory tree of the volume has for it."""
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
    """Reads what the installed images under ``root`` say of themselves."""

    def __init__(self, root: Path, *, accept_any: bool) -> None:
        self._root = root
        self._accept_any = accept_any

    async def inspect(self, slot: int) -> ImageInfo:
        """Read the volume again; with ``accept_any`` what is no ISO has the version ``unknown``.

        Raises:
            ImageError: it is no ISO 9660 volume, and only those are accepted.
            ApplianceError: it cannot be read.
        """
        path = self._root / str(slot) / IMAGE
        return await asyncio.to_thread(read_image, path, accept_any=self._accept_any)
