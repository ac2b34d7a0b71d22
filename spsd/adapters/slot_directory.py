"""The slots as directories, each with an image and a manifest.

An image appears by one rename of its whole staging directory, manifest included: after a cut at
any instant it stands in staging or in the slot, never in both and never half. Staging and slots
share a file system; both directories are synced before anyone is told.
"""

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from spsd.adapters.durable import as_appliance_errors, sync_directory, write_durably
from spsd.adapters.partial_file import IMAGE
from spsd.domain.slot import BrokenSlot, InstalledImage, SlotContent
from spsd.domain.staging_key import StagingKey

MANIFEST = "manifest.json"
_TRASH = ".trash-"
_READ = 1024 * 1024


class SlotDirectory:
    """Slots 1 to ``count`` under ``root``; images come from ``staging``."""

    def __init__(self, root: Path, staging: Path, *, count: int) -> None:
        self._root = root
        self._staging = staging
        self._count = count

    async def slots(self) -> Mapping[int, SlotContent]:
        """Every slot with what it holds; None: empty."""
        return await asyncio.to_thread(self._slots)

    def _slots(self) -> dict[int, SlotContent]:
        return {number: self._read(number) for number in range(1, self._count + 1)}

    def _read(self, slot: int) -> SlotContent:
        directory = self._root / str(slot)
        try:
            if not directory.exists() or not any(directory.iterdir()):
                return None
            return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=InstalledImage)
        except (OSError, msgspec.DecodeError) as error:
            return BrokenSlot(f"slot {slot} holds something without a readable manifest: {error}")

    async def intact(self, slot: int) -> bool:
        """Hash the slot's image again: is it what its manifest says?"""
        image = await asyncio.to_thread(self._read, slot)
        if not isinstance(image, InstalledImage):
            return False
        digest = hashlib.sha256()
        path = self._root / str(slot) / IMAGE
        with as_appliance_errors(f"reading slot {slot}"):
            if not await asyncio.to_thread(path.is_file):
                return False
            file = await asyncio.to_thread(path.open, "rb", buffering=0)
            try:
                # In short steps, so that a cancel never waits for a whole image.
                while await asyncio.to_thread(_feed, digest, file.fileno()):
                    pass
            finally:
                file.close()
        return digest.hexdigest() == image.sha256

    async def install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        """Move the sealed partial into the empty slot, durably and at once."""
        await asyncio.to_thread(self._install, slot, image, staged)

    def _install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        source, target = self._staging / staged, self._root / str(slot)
        manifest = msgspec.json.encode(image)
        with as_appliance_errors(
            f"installing into slot {slot}", into=self._root, need=len(manifest)
        ):
            write_durably(source / MANIFEST, manifest)
            (source / IMAGE).chmod(0o400)
            source.rename(target)
            sync_directory(self._root)
            sync_directory(self._staging)

    async def empty(self, slot: int) -> None:
        """Take the image out of the slot, at once; its bytes are freed afterwards."""
        await asyncio.to_thread(self._empty, slot)

    def _empty(self, slot: int) -> None:
        with as_appliance_errors(f"emptying slot {slot}"):
            (self._root / str(slot)).rename(self._root / f"{_TRASH}{uuid.uuid4()}")
            sync_directory(self._root)
            self._tidy()

    async def tidy(self) -> None:
        """Free the bytes of images that were taken out when the power went."""
        await asyncio.to_thread(self._tidy)

    def _tidy(self) -> None:
        for directory in self._root.glob(f"{_TRASH}*"):
            # Two may tidy at once; the other one's work is as good as ours.
            shutil.rmtree(directory, ignore_errors=True)


def _feed(digest: "hashlib._Hash", descriptor: int) -> int:
    block = os.read(descriptor, _READ)
    digest.update(block)
    return len(block)
