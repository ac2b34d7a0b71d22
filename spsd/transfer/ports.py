"""What a transfer needs from outside, and what it gives: origins, partial files, progress.

Adapters raise :class:`~spsd.failures.JobError` for what goes wrong outside, and no error of a
library.
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
"""A directory name; only the functions below make one."""
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"[0-9a-f]{{64}}|upload-{_UUID}", re.ASCII)


def download_key(digest: Sha256) -> StagingKey:
    """A download's: a mirror, a re-signed URL or a restarted daemon continues it."""
    return StagingKey(digest)


def upload_key(upload: UUID) -> StagingKey:
    """An upload's: its digest is known at the end only, and nobody continues it."""
    return StagingKey(f"upload-{upload}")


def parse_staging_key(name: str) -> StagingKey | None:
    """The key that a directory's name is; None: the directory is not ours."""
    return StagingKey(name) if _KEY.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is, in bytes; ``total`` is 0 while the origin has not told it."""

    done: int = 0
    total: int = 0


NO_PROGRESS = Progress()
Evidence = dict[str, str | int]


class AttemptStoppedError(Exception):
    """Raised by a progress report: the attempt is to stop, for a reason that is its caller's."""


Report = Callable[[Progress], Awaitable[None]]


class OriginResponse(Protocol):
    """An origin's reply: the head, and the body to be read."""

    @property
    def head(self) -> ResponseHead:
        """The head."""

    @property
    def evidence(self) -> Mapping[str, str | int]:
        """Facts for the job's history."""

    async def read_into(self, room: memoryview) -> int:
        """Read the body's next bytes to the beginning of ``room``; how many, 0 at the body's end.

        It fills the room, or returns after a quarter of a second with the bytes that came. One
        that is cancelled has left the room alone when it is over.

        Raises:
            OriginError: it ends early, or is slower than the minimum rate. What came before has
                been returned by earlier calls.
        """

    def close(self) -> None:
        """Have no more of it sent; nothing is read after that."""


class Origin(Protocol):
    """The network, as far as a download sees it."""

    def open(self, url: str, request: RangeRequest) -> AbstractAsyncContextManager[OriginResponse]:
        """Send one GET, follow redirects, give the final answer's head.

        Raises:
            OriginError: there is no answer.
        """


class Partial(Protocol):
    """A prefix of an image on disk, and the hash of exactly its bytes."""

    @property
    def length(self) -> int:
        """Bytes appended so far."""

    def prefix(self, url: str) -> Prefix:
        """What resume looks at, for a request to ``url``."""

    async def describe(self, url: str, head: ResponseHead, total: int | None) -> None:
        """Keep what the origin says of the object, before its bytes come."""

    async def clear(self) -> None:
        """Back to no bytes, and nothing known of the object."""

    async def room(self) -> memoryview:
        """Where to put the next bytes: memory for at least one and at most some MiB.

        It stays the same until something is appended, also after :meth:`clear`.

        Raises:
            ApplianceError: the disk is full or broken; the partial is of no use any more.
        """

    def commit(self, size: int) -> None:
        """Append the first ``size`` bytes of the room."""

    async def append(self, block: bytes | memoryview) -> None:
        """Append a copy of the block, which may be written later with what follows.

        Raises:
            ApplianceError: the disk is full or broken; the partial is of no use any more.
        """

    async def read(self, first: int, length: int) -> bytes:
        """The bytes from position ``first`` on, ``length`` of them or as many as there are."""

    async def seal(self) -> Sha256:
        """Write everything out, durably, and give the digest of the file's bytes."""


class Room(Protocol):
    """The state directory's file system."""

    async def free_bytes(self) -> int:
        """Room for an unprivileged writer."""


class Staging(Room, Protocol):
    """Where images lie until they are installed."""

    def open(self, key: StagingKey) -> AbstractAsyncContextManager[Partial]:
        """Open or create, cut to what can be trusted, and hash what is there."""

    async def discard(self, key: StagingKey) -> None:
        """Remove the partial file, if there is one."""

    async def keys(self) -> Collection[StagingKey]:
        """What lies here."""

    async def room_beyond(self, length: int) -> int:
        """How many bytes may follow the ``length`` of a partial that are here.

        Fewer than nothing if the slots, on a file system of their own, have no room for these.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that an origin sent; ``glued`` to what an earlier connection had brought.

    ``surplus``: it sent more than it had announced, which was not taken.
    """

    evidence: Evidence
    notes: Evidence
    media_type: str
    mixed: bool
    surplus: bool


class Attempts(Protocol):
    """Makes attempts, in this loop or in another."""

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial until the origin has sent all of the object.

        After ``breaks`` broken connections in a row without a new byte, fewer bytes are compared.
        ``report`` is called with the progress, after the last block at the latest; what it raises
        ends the attempt.

        Raises:
            OriginError: the attempt is over; the bytes that have come stay in the partial.
            ApplianceError: the disk is full or broken.
        """
