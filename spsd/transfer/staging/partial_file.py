"""A partial image on disk: a plain prefix, the hash of exactly its bytes, and a durable record.

Bytes are collected in a ring of ``DEPTH`` page-aligned buffers of one block each. One buffer is
being filled; two threads work on the others, one hashes and one writes. Both release the
interpreter lock, so they run in parallel with the event loop. Each buffer ends at a block boundary
of the file, wherever a resume or a slow origin made it begin, so that whole pages are written from
the second buffer on. What the origin stated about the object is in a small record beside the image.

The order of durability, by which a power cut never leaves a record that promises missing bytes:

1. The partial's directory is created, then its parent is synced (:func:`open_directory`): otherwise
   the directory could be lost together with everything in it.
2. The record is written before the first byte of a body (:meth:`PartialFile.describe`): bytes
   without a record of their origin could not be continued.
3. Every sync window, first the image is synced, then the record's ``synced`` is raised to its
   length (:meth:`PartialFile._sync`). A power cut between the two leaves a record that promises
   fewer bytes than are on disk, which is safe. So a power cut costs less than one window.
4. To clear the partial, first the record's ``synced`` is set to 0, then the image is truncated
   (:meth:`PartialFile.clear`): the opposite order, because now the record promises more.

5. After a failed write or sync only the bytes up to the last successful sync count, whatever the
   page cache still has (:meth:`PartialFile._distrust`, docs/decisions/0035).

A record is replaced atomically: a new file is written and synced, renamed over the old one, and the
directory is synced (:func:`spsd.storage.files.write_durably`), which also makes the image's name
durable.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.storage.files import as_appliance_errors, sync_directory, write_durably
from spsd.system.loop_thread import lower_priority
from spsd.transfer.rules.messages import Prefix, ResponseHead
from spsd.transfer.staging.direct_io import PAGE, ImageFile, buffers

RECORD = "partial.json"
RECORD_ROOM = 4096
"""An upper bound for the size of a record, in bytes."""


class Record(msgspec.Struct, frozen=True):
    """What is known about the object: a JSON file beside the image.

    ``origin`` is a hash of the URL that the ETag came from, because a signed URL is a secret.
    ``synced`` is the number of bytes that a power cut cannot take. ``boot_id`` is the boot in which
    the record was written: only after a reboot is ``synced`` the limit of what can be used.
    """

    origin: str = ""
    etag: str | None = None
    total: int | None = None
    synced: int = 0
    boot_id: str = ""


def origin_of(url: str) -> str:
    """The hash of the URL, as it is stored in a record."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def open_directory(directory: Path) -> Record:
    """Create the partial's directory durably, and read its record.

    A record that is absent or unreadable counts as an empty one.
    """
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()


def write_record(directory: Path, record: Record) -> None:
    """Replace the record durably and atomically."""
    write_durably(directory / RECORD, msgspec.json.encode(record))


T = TypeVar("T")
SYNC_WINDOW = 32 * 1024 * 1024
"""After so many written bytes the image is synced."""
BLOCK = 1024 * 1024
"""A multiple of the page size: whole pages are written past the page cache."""
DEPTH = 4
"""The number of buffers."""
IMAGE = "image"


class PartialFile:
    """An open partial; the staging adapter creates it, and one job at a time uses it.

    See :class:`spsd.transfer.ports.Partial`. The durability order is in the module's docstring.
    """

    def __init__(
        self,
        directory: Path,
        record: Record,
        *,
        boot_id: str,
        sync_window: int = SYNC_WINDOW,
        block: int = BLOCK,
        on_failure: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``on_failure`` gets the number of bytes that still count after a failed write or sync.

        It is called in another thread.
        """
        self._directory = directory
        self._sync_window = sync_window
        self._block = block
        self._record = replace(record, boot_id=boot_id)
        self._hash = hashlib.sha256()
        self._writer = _thread("spsd-write")
        self._hasher = _thread("spsd-hash")
        self._on_failure = on_failure
        self._file = ImageFile(directory / IMAGE)
        self._free = buffers(DEPTH, block)
        self._under_way: deque[tuple[memoryview, Future[None], Future[None]]] = deque()
        self._filling: memoryview | None = None
        self._filled = 0
        self._failure: Exception | None = None
        self._length = 0
        self._written = 0
        self._synced = 0

    @property
    def length(self) -> int:
        """The number of bytes appended so far."""
        return self._length

    @property
    def synced(self) -> int:
        """The number of bytes that a power cut cannot take."""
        return self._synced

    def prefix(self, url: str) -> Prefix:
        """The values from which a request to ``url`` is planned."""
        record = self._record
        return Prefix(
            length=self._length,
            total=record.total,
            etag=record.etag,
            same_url=record.origin == origin_of(url),
        )

    async def restore(self, length: int) -> None:
        """Truncate the image to ``length`` bytes and hash them; can be cancelled between reads.

        Bytes that no record promises are synced first: Linux reports a lost write of a process that
        was killed to the first sync of a newly opened file.

        Raises:
            ApplianceError: the disk is broken, or the file is shorter than ``length``.
        """
        self._synced = min(self._record.synced, length)
        await self._change(lambda: self._file.truncate(length))
        if length > self._synced:
            await self._change(self._file.sync)
        while self._length < length:
            size = min(self._block, length - self._length)
            self._length += await self._on(self._hasher, partial(self._hash_from_disk, size))
        self._written = length

    async def describe(self, url: str, head: ResponseHead, total: int | None) -> None:
        """Record what the response head states about the object, before its bytes are appended."""
        await self._drain()
        # A 206 belongs to the same object, and may omit fields that the client has already (RFC
        # 9110 section 15.3.7): then the recorded ETag stays.
        same = head.status == 206 and self.prefix(url).same_url
        known = self._record if same else Record()
        self._record = replace(
            self._record,
            origin=origin_of(url),
            etag=head.headers.get("etag", "").strip() or known.etag,
            total=total,
        )
        await self._change(self._write_record)

    async def clear(self) -> None:
        """Remove all bytes, and everything recorded about the object."""
        await self._drain()
        self._record = Record(boot_id=self._record.boot_id)
        self._hash = hashlib.sha256()
        self._length = self._written = self._synced = 0
        # Durability, step 4: first the record, because it must never promise bytes that are gone.
        await self._change(self._write_record)
        # Then the image; until it is truncated it has only bytes that no record promises.
        await self._change(lambda: self._file.truncate(0))

    async def buffer(self) -> memoryview:
        """Memory for the next bytes, at least one and at most a block; waits for a free buffer.

        Raises:
            ApplianceError: the disk is full or broken; the partial cannot be used any more.
        """
        # Bytes collected by ``append`` are submitted first: the returned memory must stay the same.
        self._submit_buffer()
        return await self._free_memory()

    async def _free_memory(self) -> memoryview:
        """The free part of the buffer that is being filled, up to the next block boundary."""
        if self._filling is None:
            while not self._free:
                await self._settle_oldest()
            self._filling, self._filled = self._free.pop(), 0
        boundary = self._filled + self._block - self._length % self._block
        return self._filling[self._filled : min(boundary, self._block)]

    def commit(self, size: int) -> None:
        """Append the first ``size`` bytes of the buffer: the threads hash and write them."""
        self._filled += size
        self._length += size
        self._submit_buffer()

    async def append(self, block: bytes | memoryview) -> None:
        """Append a copy of the block; small ones are collected before they are written."""
        rest = memoryview(block)
        while rest:
            memory = await self._free_memory()
            size = min(len(rest), len(memory))
            memory[:size] = rest[:size]
            rest = rest[size:]
            self._filled += size
            self._length += size
            if self._length % self._block == 0:
                self._submit_buffer()

    async def read(self, first: int, length: int) -> bytes:
        """The bytes from position ``first`` on: ``length`` of them, or fewer at the end."""
        await self._drain()
        if length == 0:
            return b""
        return await self._on(self._writer, lambda: self._file.read(length, first))

    async def seal(self) -> Sha256:
        """Make every byte durable, and return the SHA-256 of the file's bytes.

        Raises:
            ApplianceError: the disk is full or broken.
        """
        # All blocks are written and hashed before the sync, so it covers all of them.
        await self._drain()
        await self._change(self._sync)
        return Sha256(self._hash.hexdigest())

    async def digest(self) -> Sha256:
        """The SHA-256 of the bytes so far; they need not be durable."""
        await self._drain()
        return Sha256(self._hash.hexdigest())

    async def close(self) -> None:
        """Wait for both threads and close the file; their errors are not raised here."""
        # Without this a cancellation at this moment would leave both threads and the file open.
        await to_completion(asyncio.to_thread(self._close_now))

    def _close_now(self) -> None:
        # Bytes that were appended are written: they count as on disk within this boot.
        self._submit_buffer()
        self._writer.shutdown(wait=True)
        self._hasher.shutdown(wait=True, cancel_futures=True)
        self._file.close()

    def _submit_buffer(self) -> None:
        # A buffer without committed bytes stays: the caller may have read into it already.
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
        if self._failure is not None:
            raise self._failure

    async def _settle_oldest(self) -> None:
        buffer, written, hashed = self._under_way[0]
        for work in (written, hashed):
            if not work.done():  # usually it is; waiting would cost an iteration of the event loop
                # Shielded: a cancellation would remove a block that still waits to be written.
                await asyncio.shield(asyncio.wrap_future(work))
            work.result()
        self._under_way.popleft()
        self._free.append(buffer)

    async def _change(self, work: Callable[[], None]) -> None:
        """Change the file or its record in the writer's thread."""

        def change() -> None:
            with self._changing():
                work()

        await asyncio.get_running_loop().run_in_executor(self._writer, change)

    async def _on(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with self._as_errors():
                return work()

        return await asyncio.get_running_loop().run_in_executor(executor, guarded)

    def _write(self, block: memoryview) -> None:
        with self._changing():
            while block:
                size = self._file.write(block, self._written)
                self._written += size
                block = block[size:]
            if self._written - self._synced >= self._sync_window:
                self._sync()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A change of the file, in the writer's thread; after one that failed there is no other.

        A later block must not be written at the position of a failed one, and a sync that follows a
        failed one succeeds although bytes are lost.
        """
        if self._failure is not None:
            raise self._failure
        try:
            with self._as_errors():
                yield
        except Exception as error:
            self._failure = error
            self._distrust()
            raise

    def _distrust(self) -> None:
        """Durability, step 5: make the bytes after the last successful sync unusable.

        Each of the three is enough; on a broken disk the first two may fail.
        """
        # The page at the mark was dirty again: its earlier bytes may be lost with it.
        mark = self._synced - self._synced % PAGE
        self._on_failure(mark)
        with suppress(OSError, ValueError):  # ValueError: the record itself cannot be written
            write_record(self._directory, replace(self._record, synced=mark, boot_id=""))
        with suppress(OSError):
            self._file.truncate(mark)

    def _as_errors(self) -> AbstractContextManager[None]:
        # The space still needed: the missing bytes if the size is known, and at least a record.
        need = max(RECORD_ROOM, (self._record.total or 0) - self._written)
        return as_appliance_errors("writing the partial file", into=self._directory, need=need)

    def _sync(self) -> None:
        # Durability, step 3: first the bytes, then the record that promises them.
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
    # At lower priority than the loop that serves requests, whichever loop starts the thread.
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=lower_priority)
