"""Uploads: an image is received, verified and installed within one request.

An upload cannot be resumed: unless the image is installed, its bytes are removed, and the client
sends it again from the start.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator

from spsd.cancellation import to_completion
from spsd.clock import Now
from spsd.digest import Sha256
from spsd.errors import (
    ChecksumMismatchError,
    IncompleteRequestBodyError,
    InsufficientStorageError,
    NoEmptySlotError,
    NotAnImageError,
    RequestError,
    StorageFailedError,
)
from spsd.failures import ApplianceError, FailureCode, ImageError
from spsd.slots.model import InstalledImage
from spsd.slots.ports import ImageInspector, SlotStore
from spsd.slots.reservations import Holder, Reservations
from spsd.slots.service import find_installed
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.discard import discard_partial
from spsd.transfer.ports import Partial, Staging, StagingKey, upload_key

_log = logging.getLogger(__name__)


class Uploads:
    """The use case behind ``POST /api/upload/firmware``."""

    def __init__(
        self,
        staging: Staging,
        slots: SlotStore,
        inspector: ImageInspector,
        reservations: Reservations,
        *,
        now: Now,
    ) -> None:
        self._staging = staging
        self._slots = slots
        self._inspector = inspector
        self._reservations = reservations
        self._now = now
        self._installing = asyncio.Lock()

    async def receive(
        self, blocks: AsyncIterator[bytes], *, length: int | None, expected: Sha256 | None
    ) -> tuple[int, InstalledImage]:
        """Install the image that ``blocks`` consist of; returns its slot and its manifest.

        ``length`` is the largest possible size in bytes (None: unknown). No block is read before
        a slot is reserved and the disk has space for ``length`` bytes. If a slot already holds the
        image, intact, that slot is returned and nothing is installed. After an error no bytes are
        left.

        Raises:
            NoEmptySlotError: every slot is full or reserved.
            InsufficientStorageError: the disk has not enough free space.
            IncompleteRequestBodyError: the body is empty.
            ChecksumMismatchError: the image does not have the ``expected`` digest.
            NotAnImageError: the slots do not accept the image.
            StorageFailedError: the disk cannot be read or written.
        """
        slot = await self._reservations.reserve(Holder.UPLOAD)
        if slot is None:
            raise NoEmptySlotError(
                "No firmware slot is empty. Delete an image from a slot and upload again."
            )
        try:
            return await self._stage_and_install(slot, blocks, length, expected)
        except ImageError as error:
            raise _not_an_image(error) from error
        except ApplianceError as error:
            raise _storage_error(error) from error
        finally:
            self._reservations.release(slot)

    async def _stage_and_install(
        self,
        slot: int,
        blocks: AsyncIterator[bytes],
        length: int | None,
        expected: Sha256 | None,
    ) -> tuple[int, InstalledImage]:
        key = upload_key(uuid.uuid4())
        try:
            _require_space(length or 0, await self._staging.room_beyond(0))
            size, computed = await self._receive(key, blocks)
            _require_digest(expected, computed, size)
            return await self._install(slot, key, size, computed)
        finally:
            # After an installation the partial file has been moved, and this removes nothing.
            await to_completion(discard_partial(self._staging, key))

    async def _receive(self, key: StagingKey, blocks: AsyncIterator[bytes]) -> tuple[int, Sha256]:
        async with self._staging.open(key) as partial:
            await self._write(partial, blocks)
            return partial.length, await partial.seal()

    async def _write(self, partial: Partial, blocks: AsyncIterator[bytes]) -> None:
        async for block in blocks:
            # Checked for each block, because other programs write to the same disk meanwhile.
            _require_space(len(block), await self._staging.room_beyond(partial.length))
            await partial.append(block)

    async def _install(
        self, slot: int, key: StagingKey, size: int, computed: Sha256
    ) -> tuple[int, InstalledImage]:
        image = InstalledImage(
            sha256=computed,
            size=size,
            info=await self._inspector.inspect(key),
            job=None,
            installed_at=self._now(),
        )
        # One installation at a time: of two simultaneous uploads of the same image, the second
        # finds the image of the first.
        async with self._installing:
            if (held := await find_installed(self._slots, computed)) is not None:
                _log.info("an uploaded image is already in slot %d", held[0])
                return held
            await to_completion(self._slots.install(slot, image, key))
        _log.info("an uploaded image of %d bytes is in slot %d", size, slot)
        return slot, image


def _require_space(size: int, free: int) -> None:
    if size > free - SPARE_BYTES:
        raise InsufficientStorageError(
            f"The image does not fit into the state directory: {size} more bytes are needed and "
            f"{max(0, free - SPARE_BYTES)} are free. Free space on its file system, or on that "
            "of its slots, or empty a slot, and upload again.",
            needed_bytes=size,
            free_bytes=max(0, free - SPARE_BYTES),
        )


def _require_digest(expected: Sha256 | None, computed: Sha256, size: int) -> None:
    if size == 0:
        raise IncompleteRequestBodyError(
            "The upload has no bytes. Send the image as the body, or as the form's file part "
            "`firmware`.",
            field="firmware",
        )
    if expected is not None and computed != expected:
        raise ChecksumMismatchError(
            f"The {size} received bytes have the SHA-256 {computed}, not {expected} as in the "
            "request's header. Compare the file with its publisher's checksum and upload "
            "it again.",
            expected=expected,
            computed=computed,
            bytes=size,
        )


def _not_an_image(error: ImageError) -> NotAnImageError:
    facts = ", ".join(f"{name} {value}" for name, value in error.evidence.items())
    return NotAnImageError(
        f"The upload was refused: {error.what} ({facts}). Check that the file is a firmware "
        'image, or set [slots] accept = "any".',
        **{name.replace(" ", "_"): value for name, value in error.evidence.items()},
    )


def _storage_error(error: ApplianceError) -> RequestError:
    if error.code is FailureCode.DISK_FULL:
        return InsufficientStorageError(
            f"The disk became full: {error.what}. Free space on the file system of the state "
            "directory, or on that of its slots, or empty a slot, and upload again."
        )
    return StorageFailedError(
        f"The state directory cannot be used: {error.what}. Check its file system and the "
        "kernel's log."
    )
