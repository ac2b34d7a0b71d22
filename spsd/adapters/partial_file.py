"""A partial image on disk: a plain prefix, the hash of exactly its bytes, and a durable mark.

Hashing and writing have a thread each; both release the interpreter lock, so they run side by
side with the event loop. At most ``DEPTH`` blocks are under way. Every ``SYNC_WINDOW`` bytes the
writer makes them durable and moves the mark: a power cut takes less than one window.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from spsd.adapters.durable import as_appliance_errors, sync_directory, write_durably
from spsd.domain.digest import Sha256
from spsd.domain.exchange import Kept, Reply
from spsd.domain.failure import ApplianceError
from spsd.services.completion import to_completion

T = TypeVar("T")

SYNC_WINDOW = 32 * 1024 * 1024
DEPTH = 4
IMAGE = "image"
RECORD = "partial.json"
RECORD_ROOM = 4096
"""More than a record ever takes, in bytes."""
_READ = 1024 * 1024


class Record(msgspec.Struct, frozen=True):
    """What is known of the object, beside the partial file.

    ``origin`` is a hash of the URL the validators came from: a signed URL is a secret.
    """

    origin: str = ""
    etag: str | None = None
    total: int | None = None
    synced: int = 0
    boot_id: str = ""


def origin_of(url: str) -> str:
    """The URL's fingerprint, as kept in a record."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class PartialFile:
    """An open partial; made by the staging adapter, used by one job at a time."""

    def __init__(self, directory: Path, record: Record, *, boot_id: str) -> None:
        self._directory = directory
        self._record = msgspec.structs.replace(record, boot_id=boot_id)
        self._hash = hashlib.sha256()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spsd-write")
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="spsd-hash")
        self._under_way: deque[tuple[Future[None], Future[None]]] = deque()
        self._descriptor = os.open(directory / IMAGE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._failure: ApplianceError | None = None
        self._length = 0
        self._written = 0
        self._synced = 0

    @property
    def length(self) -> int:
        """Bytes appended so far."""
        return self._length

    @property
    def synced(self) -> int:
        """Bytes of which a power cut can take none."""
        return self._synced

    def kept(self, url: str) -> Kept:
        """What resume looks at, for a request to ``url``."""
        record = self._record
        return Kept(
            length=self._length,
            total=record.total,
            etag=record.etag,
            same_url=record.origin == origin_of(url),
        )

    async def trust(self, length: int) -> None:
        """Cut to ``length`` bytes and hash them; cancelled between two reads."""
        await self._on(self._writer, lambda: os.ftruncate(self._descriptor, length))
        while self._length < length:
            want = min(_READ, length - self._length)
            got = await self._on(self._hasher, partial(self._hash_from_disk, want))
            self._length += got
        self._written = length
        self._synced = min(self._record.synced, length)

    async def describe(self, url: str, reply: Reply, total: int | None) -> None:
        """Keep what the origin says of the object, before its bytes come."""
        await self._drain()
        # A 206 answers for the same object, and may leave out what is known (RFC 9110, 15.3.7).
        same = reply.status == 206 and self.kept(url).same_url
        known = self._record if same else Record()
        self._record = msgspec.structs.replace(
            self._record,
            origin=origin_of(url),
            etag=reply.headers.get("etag", "").strip() or known.etag,
            total=total,
        )
        await self._on(self._writer, self._write_record)

    async def clear(self) -> None:
        """Back to no bytes, and nothing known of the object."""
        await self._drain()
        self._record = Record(boot_id=self._record.boot_id)
        self._hash = hashlib.sha256()
        self._length = self._written = self._synced = 0
        # The mark goes first: it must never promise bytes that are gone.
        await self._on(self._writer, self._write_record)
        await self._on(self._writer, lambda: os.ftruncate(self._descriptor, 0))

    async def append(self, block: bytes) -> None:
        """Write and hash the block; returns when the ring has room for the next."""
        while len(self._under_way) >= DEPTH:
            await self._settle_oldest()
        self._under_way.append(
            (self._writer.submit(self._write, block), self._hasher.submit(self._hash.update, block))
        )
        self._length += len(block)

    async def read(self, first: int, length: int) -> bytes:
        """The bytes from position ``first`` on, ``length`` of them or as many as there are."""
        await self._drain()
        if length == 0:
            return b""
        return await self._on(self._writer, lambda: os.pread(self._descriptor, length, first))

    async def seal(self) -> Sha256:
        """Write everything out, durably, and give the digest of the file's bytes."""
        await self._drain()
        await self._on(self._writer, self._sync)
        return Sha256(self._hash.hexdigest())

    async def close(self) -> None:
        """Wait for both threads and close the file; what they failed at was told or is moot."""
        # A cancel that comes just now would leave both threads and the file for ever.
        await to_completion(asyncio.to_thread(self._shut))

    def _shut(self) -> None:
        # What was appended is written: it counts as here, and a gap would shift what follows.
        self._writer.shutdown(wait=True)
        self._hasher.shutdown(wait=True, cancel_futures=True)
        os.close(self._descriptor)

    async def _drain(self) -> None:
        while self._under_way:
            await self._settle_oldest()

    async def _settle_oldest(self) -> None:
        written, hashed = self._under_way.popleft()
        # Shielded: a cancel would reach through and drop a block that still waits for its turn.
        await asyncio.shield(asyncio.wrap_future(written))
        await asyncio.shield(asyncio.wrap_future(hashed))

    async def _on(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with self._as_errors():
                return work()

        return await asyncio.get_running_loop().run_in_executor(executor, guarded)

    def _write(self, block: bytes) -> None:
        if self._failure is not None:
            raise self._failure  # a later block must not take the failed one's place
        try:
            self._write_all(block)
        except ApplianceError as error:
            self._failure = error
            raise

    def _write_all(self, block: bytes) -> None:
        with self._as_errors():
            rest = memoryview(block)
            while rest:
                size = os.pwrite(self._descriptor, rest, self._written)
                self._written += size
                rest = rest[size:]
            if self._written - self._synced >= SYNC_WINDOW:
                self._sync()

    def _as_errors(self) -> AbstractContextManager[None]:
        # All that is still to come, where that is known, and the record beside it at least.
        need = max(RECORD_ROOM, (self._record.total or 0) - self._written)
        return as_appliance_errors("writing the partial file", into=self._directory, need=need)

    def _sync(self) -> None:
        os.fdatasync(self._descriptor)
        self._synced = self._written
        self._write_record()

    def _write_record(self) -> None:
        self._record = msgspec.structs.replace(self._record, synced=self._synced)
        write_durably(self._directory / RECORD, msgspec.json.encode(self._record))

    def _hash_from_disk(self, size: int) -> int:
        block = os.pread(self._descriptor, size, self._length)
        if not block:
            raise OSError(None, "the partial file is shorter than it was")
        self._hash.update(block)
        return len(block)


def open_directory(directory: Path) -> Record:
    """Make the partial's directory, durably, and read its record; an unreadable one is none."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()
