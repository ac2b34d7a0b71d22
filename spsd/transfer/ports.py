"""The interfaces of a transfer: origins, partial files, progress reports and attempts.

Adapters turn failures of the network and the disk into :class:`~spsd.failures.JobError`; no error
of a library passes them.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NewType, Protocol
from uuid import UUID

from spsd.digest import Sha256
from spsd.transfer.rules.messages import (
    Prefix,
    RangeRequest,
    ResponseHead,
)

StagingKey = NewType("StagingKey", str)
"""The name of a partial's directory; only the functions below create one."""
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"[0-9a-f]{{64}}|upload-{_UUID}", re.ASCII)


def download_key(digest: Sha256) -> StagingKey:
    """The key of a download: its digest, so that a mirror or a newly signed URL continues it."""
    return StagingKey(digest)


def upload_key(upload: UUID) -> StagingKey:
    """The key of an upload: its digest is known only at the end, and it is never continued."""
    return StagingKey(f"upload-{upload}")


def parse_staging_key(name: str) -> StagingKey | None:
    """The directory name as a key; None if it is not the name of a partial."""
    return StagingKey(name) if _KEY.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is, in bytes; ``total`` is 0 until the origin has stated it."""

    done: int = 0
    total: int = 0


NO_PROGRESS = Progress()
Evidence = dict[str, str | int]


class AttemptStoppedError(Exception):
    """Raised by a progress report to stop the attempt, for a reason that only the caller knows."""


Report = Callable[[Progress], Awaitable[None]]


class OriginResponse(Protocol):
    """An origin's response: its head, and its body, which is still to be read."""

    @property
    def head(self) -> ResponseHead:
        """Status and header fields."""

    @property
    def evidence(self) -> Mapping[str, str | int]:
        """Facts about the connection, for the job's history."""

    async def read_into(self, buffer: memoryview) -> int:
        """Read the body's next bytes into ``buffer``; returns how many, 0 at the body's end.

        The call fills the buffer, or returns after a quarter of a second with the bytes that
        arrived. After a cancelled call has ended, the buffer is no longer written to.

        Raises:
            OriginError: the body ended early (`cut_off`), or is slower than the minimum rate
                (`stall`). All bytes before were returned by earlier calls.
        """

    def close(self) -> None:
        """Close the connection; nothing may be read after that."""


class Origin(Protocol):
    """Access to origins over the network."""

    def open(self, url: str, request: RangeRequest) -> AbstractAsyncContextManager[OriginResponse]:
        """Send one GET, follow redirects, and return the final response with its body unread.

        Raises:
            OriginError: there is no usable response; its code says why.
        """


class Partial(Protocol):
    """A partial image: a prefix of the image on disk, and the SHA-256 of exactly its bytes."""

    @property
    def length(self) -> int:
        """The number of bytes appended so far."""

    def prefix(self, url: str) -> Prefix:
        """The values from which a request to ``url`` is planned."""

    async def describe(self, url: str, head: ResponseHead, total: int | None) -> None:
        """Record what the response head states about the object, before its bytes are appended."""

    async def clear(self) -> None:
        """Remove all bytes, and everything recorded about the object."""

    async def buffer(self) -> memoryview:
        """Memory for the next bytes: at least one byte, at most some MiB.

        It stays the same until bytes are appended, also after :meth:`clear`.

        Raises:
            ApplianceError: the disk is full or broken; the partial cannot be used any more.
        """

    def commit(self, size: int) -> None:
        """Append the first ``size`` bytes of the buffer."""

    async def append(self, block: bytes | memoryview) -> None:
        """Append a copy of the block; it may be written later, together with the next ones.

        Raises:
            ApplianceError: the disk is full or broken; the partial cannot be used any more.
        """

    async def read(self, first: int, length: int) -> bytes:
        """The bytes from position ``first`` on: ``length`` of them, or fewer at the end."""

    async def digest(self) -> Sha256:
        """The SHA-256 of the bytes so far; they need not be durable."""

    async def seal(self) -> Sha256:
        """Make every byte durable, and return the SHA-256 of the file's bytes.

        Raises:
            ApplianceError: the disk is full or broken; the partial cannot be used any more, and
                later only the bytes count that an earlier sync has made durable.
        """


class Room(Protocol):
    """The state directory's file system."""

    async def free_bytes(self) -> int:
        """The free space for an unprivileged process, in bytes."""


class Staging(Room, Protocol):
    """The partial files: images until they are installed."""

    def open(self, key: StagingKey) -> AbstractAsyncContextManager[Partial]:
        """Open or create a partial, truncate it to the bytes that are certain, and hash them."""

    async def discard(self, key: StagingKey) -> None:
        """Remove the partial file, if there is one."""

    async def keys(self) -> Collection[StagingKey]:
        """The keys of all partial files."""

    async def room_beyond(self, length: int) -> int:
        """How many bytes a partial of ``length`` bytes can grow by.

        Negative if the slots are on a file system of their own that cannot hold ``length`` bytes.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of an attempt: the partial is complete. ``notes`` are remarks on the attempt.

    ``mixed``: its bytes came over several connections, or were on disk before. ``surplus``: the
    origin sent more bytes than it had announced, and they were discarded.
    """

    evidence: Evidence
    notes: Evidence
    media_type: str
    mixed: bool
    surplus: bool


class Attempts(Protocol):
    """Runs attempts, in the caller's event loop or in another one."""

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial until it has every byte of the object.

        After ``breaks`` broken connections in a row without a new byte, fewer bytes are compared
        (see :meth:`~spsd.transfer.rules.messages.Windows.shrunk`). ``report`` is called with the
        progress, at the latest after the last block; an exception that it raises ends the attempt.

        Raises:
            OriginError: the attempt failed; the bytes received so far stay in the partial.
            ApplianceError: the disk is full or broken.
        """
