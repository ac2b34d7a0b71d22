"""Build small ISO 9660 images for tests."""

import io
import os
from pathlib import Path

import pycdlib

NOTES = "Notes of the image."
NEWS = "News of the image."


def firmware_toml(version: str) -> bytes:
    """The text that an image carries as ``/firmware.toml``."""
    return (f'version = "{version}"\nupgrade_notes = "{NOTES}"\nupgrade_news = "{NEWS}"\n').encode()


def build_iso(  # noqa: C901 - three directory trees, three names a file
    path: Path,
    *,
    size: int | None = None,
    version: str | None = "2.5.0",
    payload: bytes = b"",
    disk_info: str | None = None,
    volume_id: str = "SPSD_TEST",
    trees: str = "joliet",
    firmware: bytes | None = None,
) -> Path:
    """Write an ISO 9660 image to ``path``; ``size`` pads it with zeros to that many bytes.

    ``version`` None omits ``firmware.toml``; ``firmware`` is its content, used unchanged.
    ``trees`` is ``joliet``, ``rr`` (Rock Ridge) or ``plain``.

    Raises:
        ValueError: the image is larger than ``size``.
    """
    iso = pycdlib.PyCdlib()
    iso.new(
        vol_ident=volume_id,
        joliet=3 if trees == "joliet" else None,
        rock_ridge="1.09" if trees == "rr" else None,
        interchange_level=4 if trees == "plain" else 1,
    )

    def add(content: bytes, plain: str, name: str) -> None:
        names: dict[str, str] = {"iso_path": plain}
        if trees == "joliet":
            names["joliet_path"] = name
        elif trees == "rr":
            names["rr_name"] = name.rpartition("/")[2]
        iso.add_fp(io.BytesIO(content), len(content), **names)

    if firmware is None and version is not None:
        firmware = firmware_toml(version)
    if firmware is not None:
        add(firmware, "/FIRMWARE.TOM;1", "/firmware.toml")
    if disk_info is not None:
        names: dict[str, str] = {"iso_path": "/_DISK"}
        if trees == "joliet":
            names["joliet_path"] = "/.disk"
        elif trees == "rr":
            names["rr_name"] = ".disk"
        iso.add_directory(**names)
        add(disk_info.encode(), "/_DISK/INFO.;1", "/.disk/info")
    if payload:
        add(payload, "/PAYLOAD.BIN;1", "/payload.bin")
    iso.write(str(path))
    iso.close()
    if size is not None:
        if size < path.stat().st_size:
            raise ValueError(f"the image alone has {path.stat().st_size} bytes")
        os.truncate(path, size)
    return path
