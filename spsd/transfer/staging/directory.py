"""The staging directory: partial images, a directory each."""

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
    """Staging under ``root``; an installation takes a directory of it away, into ``slots``."""

    def __init__(
        self,
        root: Path,
        *,
        boot: str,
        slots: Path | None = None,
        sync_window: int = SYNC_WINDOW,
        block: int = BLOCK,
    ) -> None:
        self._root = root
        self._sync_window = sync_window
        self._block = block
        self._slots = slots
        self._boot = boot

    @asynccontextmanager
    async def open(self, key: StagingKey) -> AsyncIterator[PartialFile]:
        """Open or create, cut to what can be trusted, and hash what is there.

        Within one boot the file's length is the truth: the page cache outlives a killed process.
        After a reboot only what was synced is.
        """
        async with AsyncExitStack() as stack:
            # A cancel does not stop the thread: who discards afterwards must find it at rest.
            partial, trusted = await to_completion(self._opened(stack, key))
            await partial.trust(trusted)
            yield partial

    async def _opened(self, stack: AsyncExitStack, key: StagingKey) -> tuple[PartialFile, int]:
        partial, trusted = await asyncio.to_thread(self._open, key)
        stack.push_async_callback(partial.close)
        return partial, trusted

    def _open(self, key: StagingKey) -> tuple[PartialFile, int]:
        directory = self.directory(key)
        with as_appliance_errors("opening the partial file", into=self._root, need=RECORD_ROOM):
            record = open_directory(directory)
            image = directory / IMAGE
            length = image.stat().st_size if image.exists() else 0
            if length:
                # An installation that was cut has made it read-only already.
                image.chmod(0o600)
            same_boot = record.boot_id == self._boot
            trusted = length if same_boot else min(length, record.synced)
            partial = PartialFile(
                directory,
                record,
                boot_id=self._boot,
                sync_window=self._sync_window,
                block=self._block,
            )
            return partial, trusted

    async def discard(self, key: StagingKey) -> None:
        """Remove the partial file, if there is one."""
        await asyncio.to_thread(self._discard, key)

    def _discard(self, key: StagingKey) -> None:
        with as_appliance_errors("removing the partial file"):
            directory = self.directory(key)
            if directory.exists():
                shutil.rmtree(directory)
                sync_directory(self._root)

    async def keys(self) -> Collection[StagingKey]:
        """What lies here."""
        names = await asyncio.to_thread(os.listdir, self._root)
        return [key for name in names if (key := parse_staging_key(name)) is not None]

    async def free_bytes(self) -> int:
        """Room on the file system, for an unprivileged writer."""
        with as_appliance_errors("asking for free space"):
            return await asyncio.to_thread(room, self._root)

    async def room_beyond(self, length: int) -> int:
        """How many bytes may follow the ``length`` of a partial that are here."""
        with as_appliance_errors("asking for free space"):
            return await asyncio.to_thread(self._room_beyond, length)

    def _room_beyond(self, length: int) -> int:
        free = room(self._root)
        if self._slots is None or self._slots.stat().st_dev == self._root.stat().st_dev:
            return free
        # There the whole image is needed once more, not a rename.
        return min(free, room(self._slots) - length)

    def directory(self, key: StagingKey) -> Path:
        """Where that partial lies."""
        return self._root / key
