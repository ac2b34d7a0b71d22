"""The slots as directories, each with an image and a manifest.

An image is installed by one rename of its whole staging directory, including the manifest: after a
power cut at any instant it is in staging or in the slot, never in both and never incomplete. Both
directories are synced before the caller continues. If the slots are on another file system than
staging, the image is copied into a hidden directory beside the slots, its digest is verified again
there, and that directory is renamed.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

import msgspec

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.failures import ApplianceError, Evidence, FailureCode
from spsd.slots.copy import copy_image, hash_file
from spsd.slots.model import BrokenSlot, InstalledImage, SlotContent
from spsd.storage.files import as_appliance_errors, room, sync_directory, write_durably
from spsd.transfer.ports import StagingKey
from spsd.transfer.staging.partial_file import IMAGE

MANIFEST = "manifest.json"
_TRASH = ".trash-"
_INCOMING = ".incoming-"
_MANIFEST_ROOM = 64 * 1024
_READ = 1024 * 1024


class SlotDirectory:
    """:class:`~spsd.slots.ports.SlotStore` of slots 1 to ``count`` under ``root``.

    Images come from the directory ``staging``.
    """

    def __init__(self, root: Path, staging: Path, *, count: int) -> None:
        self._root = root
        self._staging = staging
        self._count = count

    async def slots(self) -> Mapping[int, SlotContent]:
        """Every slot with what it holds; None: empty."""
        return await asyncio.to_thread(self._slots)

    def _slots(self) -> dict[int, SlotContent]:
        numbers = range(1, self._count + 1)
        try:
            # One listing for all slots: a hundred slots are read before each job.
            names = {path.name for path in self._root.iterdir()}
        except OSError:
            names = set(map(str, numbers))  # reading each slot gives its own error
        return {number: self._read(number) if str(number) in names else None for number in numbers}

    def _read(self, slot: int) -> SlotContent:
        directory = self._root / str(slot)
        try:
            if not directory.exists() or not any(directory.iterdir()):
                return None
            return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=InstalledImage)
        except (OSError, msgspec.DecodeError) as error:
            return BrokenSlot(f"slot {slot} holds something without a readable manifest: {error}")

    async def intact(self, slot: int) -> bool:
        """Whether the slot's image has the digest of its manifest and stays in the slot meanwhile.

        Reads the whole image.

        Raises:
            ApplianceError: the image cannot be read.
        """
        image = await asyncio.to_thread(self._read, slot)
        if not isinstance(image, InstalledImage):
            return False
        digest = hashlib.sha256()
        path = self._root / str(slot) / IMAGE
        with as_appliance_errors(f"reading slot {slot}"):
            if not await asyncio.to_thread(path.is_file):
                return False
            with suppress(FileNotFoundError), ExitStack() as stack:
                # Each call on a thread is completed even if the caller is cancelled: only then may
                # the file be closed, because the number of its descriptor is used again.
                file = await to_completion(asyncio.to_thread(_open, stack, path))
                # One block in each call, so that a cancel does not wait for a whole image.
                while await to_completion(asyncio.to_thread(_hash_block, digest, file.fileno())):
                    pass
                # An image that was removed from the slot meanwhile is not in the slot.
                is_there = await asyncio.to_thread(_is_same_file, path, file.fileno())
                return is_there and digest.hexdigest() == image.sha256
        return False

    async def install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        """Move the sealed partial file into the empty slot, durably and atomically.

        Raises:
            ApplianceError: the slot is not empty, or a write failed. The slot is unchanged.
        """
        await asyncio.to_thread(self._install, slot, image, staged)

    def _install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        source, target = self._staging / staged, self._root / str(slot)
        manifest = msgspec.json.encode(image)
        need = len(manifest)
        with as_appliance_errors(f"installing into slot {slot}", into=self._root, need=need):
            # Step 1: complete the staging directory, durably. The manifest and the mode come before
            # the rename, so that no slot ever has an image without a manifest or a writable image.
            write_durably(source / MANIFEST, manifest)
            (source / IMAGE).chmod(0o400)
            # Step 2: rename it. One rename makes image and manifest appear in the slot together;
            # it fails if the slot is not empty.
            try:
                source.rename(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._install_copy(source, target, image)
            # Step 3: sync the new name, because the caller then records that the image is
            # installed; then the removal of the old name, so that no power cut brings it back.
            sync_directory(self._root)
            sync_directory(self._staging)

    def _install_copy(self, source: Path, target: Path, image: InstalledImage) -> None:
        """Step 2 if the slots are on another file system, where no rename can lead."""
        # Step 2.1: check the space first, so that a copy that cannot fit does not fill the disk.
        if (free := room(self._root)) < (need := image.size + _MANIFEST_ROOM):
            evidence = {"needed bytes": need, "free bytes": free}
            what = "the image does not fit into the slots' file system"
            raise ApplianceError(FailureCode.DISK_FULL, what, evidence)
        # Step 2.2: copy into a hidden directory. It is no slot, so an incomplete copy is never
        # taken for an image; the next start removes it.
        incoming = self._root / f"{_INCOMING}{uuid.uuid4()}"
        incoming.mkdir(mode=0o700)
        try:
            copy_image(source / IMAGE, incoming / IMAGE)
            # Step 2.3: verify the copy before it becomes an image: its disk may be another one.
            _require_digest(image.sha256, incoming / IMAGE)
            (incoming / IMAGE).chmod(0o400)
            write_durably(incoming / MANIFEST, (source / MANIFEST).read_bytes())
            # Step 2.4: rename the complete directory, as above.
            incoming.rename(target)
        except (OSError, ApplianceError):
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        # Step 2.5: sync the new name before the source is removed: otherwise a power cut could
        # leave neither of the two.
        sync_directory(self._root)
        # Step 2.6: remove the source. The image is installed, so a failure here is no error: the
        # next start removes what is left.
        shutil.rmtree(source, ignore_errors=True)

    async def empty(self, slot: int) -> None:
        """Remove the image from the slot durably and atomically, then free its bytes.

        Raises:
            ApplianceError: the slot is empty, or a write failed.
        """
        await asyncio.to_thread(self._empty, slot)

    def _empty(self, slot: int) -> None:
        with as_appliance_errors(f"emptying slot {slot}"):
            # Step 1: rename the slot's directory, so that the slot is empty at one instant; a
            # deletion of its files would leave a broken slot in between.
            (self._root / str(slot)).rename(self._root / f"{_TRASH}{uuid.uuid4()}")
            # Step 2: sync that, before any byte is freed: otherwise a power cut could bring back a
            # slot whose files are gone.
            sync_directory(self._root)
            # Step 3: free the bytes. A power cut in between leaves them to the next start.
            self._remove(_TRASH)

    async def remove_leftovers(self) -> None:
        """Remove images whose installation or removal was interrupted by a crash or a power cut."""
        await asyncio.to_thread(self._remove, _TRASH, _INCOMING)

    def _remove(self, *prefixes: str) -> None:
        for directory in [path for prefix in prefixes for path in self._root.glob(f"{prefix}*")]:
            # Two calls may run at the same time: it does not matter which one removes a file.
            shutil.rmtree(directory, ignore_errors=True)


def _require_digest(expected: Sha256, copy: Path) -> None:
    if (computed := hash_file(copy)) != expected:
        what = "the copy in the slots' file system is not the image"
        evidence: Evidence = {"expected": expected, "computed": computed}
        raise ApplianceError(FailureCode.DISK, what, evidence)


def _open(stack: ExitStack, path: Path) -> FileIO:
    return stack.enter_context(path.open("rb", buffering=0))


def _is_same_file(path: Path, descriptor: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(descriptor))


def _hash_block(digest: "hashlib._Hash", descriptor: int) -> int:
    block = os.read(descriptor, _READ)
    digest.update(block)
    return len(block)
