"""The slots as directories, each with an image and a manifest.

An image appears by one rename of its whole staging directory, manifest included: after a cut at
any instant it stands in staging or in the slot, never in both and never half. Both directories are
synced before anyone is told. Where the slots are a file system of their own, the image is copied
into a hidden directory beside the slots, proven again from there, and renamed.
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
from spsd.slots.copy import copy_image, digest_of
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
    """Slots 1 to ``count`` under ``root``; images come from ``staging``."""

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
            # One look for all: a hundred slots are asked about before each job.
            there = {path.name for path in self._root.iterdir()}
        except OSError:
            there = set(map(str, numbers))  # each one tells for itself
        return {one: self._read(one) if str(one) in there else None for one in numbers}

    def _read(self, slot: int) -> SlotContent:
        directory = self._root / str(slot)
        try:
            if not directory.exists() or not any(directory.iterdir()):
                return None
            return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=InstalledImage)
        except (OSError, msgspec.DecodeError) as error:
            return BrokenSlot(f"slot {slot} holds something without a readable manifest: {error}")

    async def intact(self, slot: int) -> bool:
        """Hash the slot's image again: is it what its manifest says, and there to the end?"""
        image = await asyncio.to_thread(self._read, slot)
        if not isinstance(image, InstalledImage):
            return False
        digest = hashlib.sha256()
        path = self._root / str(slot) / IMAGE
        with as_appliance_errors(f"reading slot {slot}"):
            if not await asyncio.to_thread(path.is_file):
                return False
            with suppress(FileNotFoundError), ExitStack() as stack:
                # What a thread opens for a caller who is cancelled has to be closed too, and not
                # before the thread has done with it: the descriptor may be another file's then.
                file = await to_completion(asyncio.to_thread(_opened, stack, path))
                # In short steps, so that a cancel never waits for a whole image.
                while await to_completion(asyncio.to_thread(_feed, digest, file.fileno())):
                    pass
                # Whoever takes it out meanwhile has been told that it is gone.
                is_there = await asyncio.to_thread(_names, path, file.fileno())
                return is_there and digest.hexdigest() == image.sha256
        return False

    async def install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        """Move the sealed partial into the empty slot, durably and at once."""
        await asyncio.to_thread(self._install, slot, image, staged)

    def _install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        source, target = self._staging / staged, self._root / str(slot)
        manifest = msgspec.json.encode(image)
        need = len(manifest)
        with as_appliance_errors(f"installing into slot {slot}", into=self._root, need=need):
            write_durably(source / MANIFEST, manifest)
            (source / IMAGE).chmod(0o400)
            try:
                source.rename(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._bring_across(source, target, image)
            sync_directory(self._root)
            sync_directory(self._staging)

    def _bring_across(self, source: Path, target: Path, image: InstalledImage) -> None:
        """The same from another file system; what is in ``source`` goes when it is done."""
        if (free := room(self._root)) < (need := image.size + _MANIFEST_ROOM):
            evidence = {"needed bytes": need, "free bytes": free}
            what = "the image does not fit into the slots' file system"
            raise ApplianceError(FailureCode.DISK_FULL, what, evidence)
        incoming = self._root / f"{_INCOMING}{uuid.uuid4()}"
        incoming.mkdir(mode=0o700)
        try:
            copy_image(source / IMAGE, incoming / IMAGE)
            _must_be(image.sha256, incoming / IMAGE)
            (incoming / IMAGE).chmod(0o400)
            write_durably(incoming / MANIFEST, (source / MANIFEST).read_bytes())
            incoming.rename(target)
        except (OSError, ApplianceError):
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        sync_directory(self._root)
        # The image is installed. What stays behind is nobody's, and is cleared at the next start.
        shutil.rmtree(source, ignore_errors=True)

    async def empty(self, slot: int) -> None:
        """Take the image out of the slot, at once; its bytes are freed afterwards."""
        await asyncio.to_thread(self._empty, slot)

    def _empty(self, slot: int) -> None:
        with as_appliance_errors(f"emptying slot {slot}"):
            (self._root / str(slot)).rename(self._root / f"{_TRASH}{uuid.uuid4()}")
            sync_directory(self._root)
            self._remove(_TRASH)

    async def remove_leftovers(self) -> None:
        """Free the bytes of images that were on their way in or out when the power went."""
        await asyncio.to_thread(self._remove, _TRASH, _INCOMING)

    def _remove(self, *kinds: str) -> None:
        for directory in [one for kind in kinds for one in self._root.glob(f"{kind}*")]:
            # Two calls may run at the same time: it does not matter which one removes a file.
            shutil.rmtree(directory, ignore_errors=True)


def _must_be(expected: Sha256, copy: Path) -> None:
    # Another file system, perhaps another disk: its bytes have to be proven themselves.
    if (computed := digest_of(copy)) != expected:
        what = "the copy in the slots' file system is not the image"
        evidence: Evidence = {"expected": expected, "computed": computed}
        raise ApplianceError(FailureCode.DISK, what, evidence)


def _opened(stack: ExitStack, path: Path) -> FileIO:
    return stack.enter_context(path.open("rb", buffering=0))


def _names(path: Path, descriptor: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(descriptor))


def _feed(digest: "hashlib._Hash", descriptor: int) -> int:
    block = os.read(descriptor, _READ)
    digest.update(block)
    return len(block)
