"""Look into the image of a slot."""

import asyncio
from pathlib import Path

from spsd.adapters.iso_image import read_image
from spsd.domain.image import ImageInfo
from spsd.transfer.staging.partial_file import IMAGE


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
