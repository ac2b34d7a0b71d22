"""Partial images, a directory each, named by digest: a mirror or a re-signed URL continues one."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from spsd.adapters.durable import as_appliance_errors, sync_directory
from spsd.adapters.partial_file import IMAGE, PartialFile, open_directory
from spsd.domain.digest import Sha256

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class StagingDirectory:
    """Staging under ``root``, on the same file system as the slots."""

    def __init__(self, root: Path, *, boot: str) -> None:
        self._root = root
        self._boot = boot

    @asynccontextmanager
    async def open(self, digest: Sha256) -> AsyncIterator[PartialFile]:
        """Open or create, cut to what can be trusted, and hash what is there.

        Within one boot the file's length is the truth: the page cache outlives a killed process.
        After a reboot only what was synced is.
        """
        partial, trusted = await asyncio.to_thread(self._open, digest)
        try:
            await partial.trust(trusted)
            yield partial
        finally:
            await partial.close()

    def _open(self, digest: Sha256) -> tuple[PartialFile, int]:
        directory = self.directory(digest)
        with as_appliance_errors("opening the partial file"):
            record = open_directory(directory)
            image = directory / IMAGE
            length = image.stat().st_size if image.exists() else 0
            same_boot = record.boot_id == self._boot
            trusted = length if same_boot else min(length, record.synced)
            return PartialFile(directory, record, boot_id=self._boot), trusted

    async def discard(self, digest: Sha256) -> None:
        """Remove the partial file, if there is one."""
        await asyncio.to_thread(self._discard, digest)

    def _discard(self, digest: Sha256) -> None:
        with as_appliance_errors("removing the partial file"):
            directory = self.directory(digest)
            if directory.exists():
                shutil.rmtree(directory)
                sync_directory(self._root)

    async def digests(self) -> Collection[Sha256]:
        """Whose partial files lie here."""
        names = await asyncio.to_thread(os.listdir, self._root)
        return [Sha256(name) for name in names if _DIGEST.fullmatch(name)]

    async def free_bytes(self) -> int:
        """Room on the file system, for an unprivileged writer."""
        status = await asyncio.to_thread(os.statvfs, self._root)
        return status.f_bavail * status.f_frsize

    def directory(self, digest: Sha256) -> Path:
        """Where the partial of ``digest`` lies."""
        return self._root / digest
