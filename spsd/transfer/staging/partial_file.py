"""A partial image on disk: a plain prefix, the hash of exactly its bytes, and a durable mark.

Bytes come into a ring of ``DEPTH`` page-aligned buffers of a block each: one is being filled, the
others are with two threads, one that hashes and one that writes. Both release the interpreter lock,
so they run side by side with the event loop. Each buffer ends at a block's border in the file,
whatever a resume or a slow origin has left before it, so that whole pages are written from the
second one on. Every sync window the writer makes them durable and moves the mark: a power cut takes
less than one window. What the origin said of the object is in a small record beside the image.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.failures import ApplianceError
from spsd.storage.files import as_appliance_errors, sync_directory, write_durably
from spsd.system.loop_thread import lower_priority
from spsd.transfer.rules.messages import Prefix, ResponseHead
from spsd.transfer.staging.direct_io import ImageFile, buffers

RECORD = "partial.json"
RECORD_ROOM = 4096
"""More than a record ever takes, in bytes."""


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


def open_directory(directory: Path) -> Record:
    """Make the partial's directory, durably, and read its record; an unreadable one is none."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()


def write_record(directory: Path, record: Record) -> None:
    """Replace the record, durably."""
    write_durably(directory / RECORD, msgspec.json.encode(record))


T = TypeVar("T")
SYNC_WINDOW = 32 * 1024 * 1024
BLOCK = 1024 * 1024
"""A multiple of the page: whole pages are written past the page cache."""
DEPTH = 4
IMAGE = "image"


class PartialFile:
    """An open partial; made by the staging adapter, used by one job at a time."""

    def __init__(
        self,
        directory: Path,
        record: Record,
        *,
        boot_id: str,
        sync_window: int = SYNC_WINDOW,
        block: int = BLOCK,
    ) -> None:
        self._directory = directory
        self._sync_window = sync_window
        self._block = block
        self._record = replace(record, boot_id=boot_id)
        self._hash = hashlib.sha256()
        self._writer = _thread("spsd-write")
        self._hasher = _thread("spsd-hash")
        self._file = ImageFile(directory / IMAGE)
        self._free = buffers(DEPTH, block)
        self._under_way: deque[tuple[memoryview, Future[None], Future[None]]] = deque()
        self._filling: memoryview | None = None
        self._filled = 0
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

    def prefix(self, url: str) -> Prefix:
        """What resume looks at, for a request to ``url``."""
        record = self._record
        return Prefix(
            length=self._length,
            total=record.total,
            etag=record.etag,
            same_url=record.origin == origin_of(url),
        )

    async def trust(self, length: int) -> None:
        """Cut to ``length`` bytes and hash them; cancelled between two reads."""
        await self._on(self._writer, lambda: self._file.truncate(length))
        while self._length < length:
            want = min(self._block, length - self._length)
            got = await self._on(self._hasher, partial(self._hash_from_disk, want))
            self._length += got
        self._written = length
        self._synced = min(self._record.synced, length)

    async def describe(self, url: str, head: ResponseHead, total: int | None) -> None:
        """Keep what the origin says of the object, before its bytes come."""
        await self._drain()
        # A 206 answers for the same object, and may leave out what is known (RFC 9110, 15.3.7).
        same = head.status == 206 and self.prefix(url).same_url
        known = self._record if same else Record()
        self._record = replace(
            self._record,
            origin=origin_of(url),
            etag=head.headers.get("etag", "").strip() or known.etag,
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
        await self._on(self._writer, lambda: self._file.truncate(0))

    async def room(self) -> memoryview:
        """Where the next bytes go, at least one and at most a block; waits for a free buffer.

        Raises:
            ApplianceError: the disk is full or broken; the partial is of no use any more.
        """
        self._submit_buffer()  # what was gathered before: whoever has this room is to keep it
        return await self._gathering()

    async def _gathering(self) -> memoryview:
        """The room behind what is gathered already."""
        if self._filling is None:
            while not self._free:
                await self._settle_oldest()
            self._filling, self._filled = self._free.pop(), 0
        border = self._filled + self._block - self._length % self._block
        return self._filling[self._filled : min(border, self._block)]

    def commit(self, size: int) -> None:
        """Append the first ``size`` bytes of the room: they are hashed and written from now on."""
        self._filled += size
        self._length += size
        self._submit_buffer()

    async def append(self, block: bytes | memoryview) -> None:
        """Append a copy of the block; small ones are gathered before they are written."""
        rest = memoryview(block)
        while rest:
            room = await self._gathering()
            size = min(len(rest), len(room))
            room[:size] = rest[:size]
            rest = rest[size:]
            self._filled += size
            self._length += size
            if self._length % self._block == 0:
                self._submit_buffer()

    async def read(self, first: int, length: int) -> bytes:
        """The bytes from position ``first`` on, ``length`` of them or as many as there are."""
        await self._drain()
        if length == 0:
            return b""
        return await self._on(self._writer, lambda: self._file.read(length, first))

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
        self._submit_buffer()
        self._writer.shutdown(wait=True)
        self._hasher.shutdown(wait=True, cancel_futures=True)
        self._file.close()

    def _submit_buffer(self) -> None:
        # A room that nothing was committed of keeps its buffer, and what was read into that.
        if self._filling is None or self._filled == 0:
            return
        buffer, self._filling = self._filling, None
        block = buffer[: self._filled]
        written = self._writer.submit(self._write, block)
        self._under_way.append((buffer, written, self._hasher.submit(self._hash.update, block)))

    async def _drain(self) -> None:
        self._submit_buffer()
        while self._under_way:
            await self._settle_oldest()

    async def _settle_oldest(self) -> None:
        buffer, written, hashed = self._under_way[0]
        for work in (written, hashed):
            if not work.done():  # mostly it is: waiting for it would cost a turn of the loop
                # Shielded: a cancel would reach through and drop a block that waits for its turn.
                await asyncio.shield(asyncio.wrap_future(work))
            work.result()
        self._under_way.popleft()
        self._free.append(buffer)

    async def _on(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with self._as_errors():
                return work()

        return await asyncio.get_running_loop().run_in_executor(executor, guarded)

    def _write(self, block: memoryview) -> None:
        if self._failure is not None:
            raise self._failure  # a later block must not take the failed one's place
        try:
            self._write_all(block)
        except ApplianceError as error:
            self._failure = error
            raise

    def _write_all(self, block: memoryview) -> None:
        with self._as_errors():
            while block:
                size = self._file.write(block, self._written)
                self._written += size
                block = block[size:]
            if self._written - self._synced >= self._sync_window:
                self._sync()

    def _as_errors(self) -> AbstractContextManager[None]:
        # All that is still to come, where that is known, and the record beside it at least.
        need = max(RECORD_ROOM, (self._record.total or 0) - self._written)
        return as_appliance_errors("writing the partial file", into=self._directory, need=need)

    def _sync(self) -> None:
        self._file.sync()
        self._synced = self._written
        self._write_record()

    def _write_record(self) -> None:
        self._record = replace(self._record, synced=self._synced)
        write_record(self._directory, self._record)

    def _hash_from_disk(self, size: int) -> int:
        block = self._file.read(size, self._length)
        if not block:
            raise OSError(None, "the partial file is shorter than it was")
        self._hash.update(block)
        return len(block)


def _thread(name: str) -> ThreadPoolExecutor:
    # Whoever starts it: the loop that answers, or the one that downloads.
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=lower_priority)
