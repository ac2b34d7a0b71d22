"""The staging directory: one directory for each partial image."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from spsd.cancellation import to_completion
from spsd.storage.files import as_appliance_errors, room, sync_directory
from spsd.transfer.ports import StagingKey, parse_staging_key
from spsd.transfer.staging.partial_file import (
    BLOCK,
    IMAGE,
    RECORD_ROOM,
    SYNC_WINDOW,
    PartialFile,
    open_directory,
)


class StagingDirectory:
    """The partial files under ``root``: see :class:`spsd.transfer.ports.Staging`.

    An installation moves a partial's directory into ``slots``. ``boot`` is the boot ID.
    """

    def __init__(
        self,
        root: Path,
        *,
        boot: str,
        slots: Path | None = None,
        sync_window: int = SYNC_WINDOW,
        block: int = BLOCK,
    ) -> None:
        self._marks: dict[StagingKey, int] = {}
        """The bytes that count after a failed write or sync, until the file is truncated."""
        self._root = root
        self._sync_window = sync_window
        self._block = block
        self._slots = slots
        self._boot = boot

    @asynccontextmanager
    async def open(self, key: StagingKey) -> AsyncIterator[PartialFile]:
        """Open or create a partial, truncate it to the bytes that are certain, and hash them.

        Within one boot these are all bytes of the file: the page cache survives a killed process.
        After a reboot, or after a failed write or sync, they are the bytes that were synced.

        Raises:
            ApplianceError: the disk is full or broken.
        """
        async with AsyncExitStack() as stack:
            # A cancellation does not stop the thread, so it is waited for: a discard that follows
            # must not run at the same time.
            partial, certain = await to_completion(self._opened(stack, key))
            await partial.restore(certain)
            self._marks.pop(key, None)
            yield partial

    async def _opened(self, stack: AsyncExitStack, key: StagingKey) -> tuple[PartialFile, int]:
        partial, certain = await asyncio.to_thread(self._open, key)
        stack.push_async_callback(partial.close)
        return partial, certain

    def _open(self, key: StagingKey) -> tuple[PartialFile, int]:
        directory = self.directory(key)
        with as_appliance_errors("opening the partial file", into=self._root, need=RECORD_ROOM):
            record = open_directory(directory)
            image = directory / IMAGE
            length = image.stat().st_size if image.exists() else 0
            if length:
                # An interrupted installation may have made it read-only already.
                image.chmod(0o600)
            same_boot = record.boot_id == self._boot
            certain = length if same_boot else min(length, record.synced)
            certain = min(certain, self._marks.get(key, certain))
            partial = PartialFile(
                directory,
                record,
                boot_id=self._boot,
                sync_window=self._sync_window,
                block=self._block,
                on_failure=lambda mark: self._marks.update({key: mark}),
            )
            return partial, certain

    async def discard(self, key: StagingKey) -> None:
        """Remove the partial file, if there is one.

        Raises:
            ApplianceError: the disk refused it.
        """
        await asyncio.to_thread(self._discard, key)

    def _discard(self, key: StagingKey) -> None:
        with as_appliance_errors("removing the partial file"):
            directory = self.directory(key)
            if directory.exists():
                shutil.rmtree(directory)
                self._marks.pop(key, None)
                sync_directory(self._root)

    async def keys(self) -> Collection[StagingKey]:
        """The keys of all partial files."""
        names = await asyncio.to_thread(os.listdir, self._root)
        return [key for name in names if (key := parse_staging_key(name)) is not None]

    async def free_bytes(self) -> int:
        """The free space for an unprivileged process, in bytes."""
        with as_appliance_errors("reading the free space"):
            return await asyncio.to_thread(room, self._root)

    async def room_beyond(self, length: int) -> int:
        """How many bytes a partial of ``length`` bytes can grow by; negative: see the port."""
        with as_appliance_errors("reading the free space"):
            return await asyncio.to_thread(self._room_beyond, length)

    def _room_beyond(self, length: int) -> int:
        free = room(self._root)
        if self._slots is None or self._slots.stat().st_dev == self._root.stat().st_dev:
            return free
        # The slots have a file system of their own: the image is copied there, not renamed.
        return min(free, room(self._slots) - length)

    def directory(self, key: StagingKey) -> Path:
        """The partial's directory."""
        return self._root / key
