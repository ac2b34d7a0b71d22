"""Several connections for one object: which of them fetches which bytes.

The missing bytes are divided into consecutive chunks, of which a few are fetched at a time, each by
one lane (a connection). Chunks are appended in order, so the file is always a plain prefix.
Positions and sizes are bytes, times any monotonic seconds. Pure, except for the memory of a chunk.
"""

import mmap
from collections import deque
from dataclasses import dataclass, field, replace

from spsd.transfer.rules.messages import Prefix, ResponseHead

MIB = 1024 * 1024
SETUP_S = 0.5
"""The least time that a new connection is assumed to need before its first byte, in seconds."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """When a download uses several connections, and how long their chunks are.

    The first connection reads ``sample`` bytes twice. The rate of the second read is the estimate:
    if the missing bytes would take ``worthwhile_s`` seconds or more at that rate, and the rate is
    below ``fast_bytes_per_s``, the other connections join. A chunk takes one connection about
    ``chunk_s`` seconds, is between ``min_chunk`` and ``max_chunk`` bytes long, and all chunks being
    fetched fit ``memory``.
    """

    connections: int = 1
    sample: int = 256 * 1024
    worthwhile_s: float = 2.0
    fast_bytes_per_s: float = 100e6
    chunk_s: float = 4.0
    min_chunk: int = MIB
    max_chunk: int = 16 * MIB
    memory: int = 64 * MIB
    jobs: int = 1
    """How many downloads share the network line, the machine and ``memory``."""

    def shared_by(self, jobs: int) -> "Splitting":
        """The same settings for one of ``jobs`` downloads at a time."""
        return replace(self, jobs=jobs) if self.connections > 1 else self

    def is_worthwhile(self, rest: int, rate: float) -> bool:
        """Whether several connections shorten the download of the ``rest`` missing bytes.

        ``rate`` is that of the one connection, in bytes per second. On a fast line one connection
        is enough: several cost a copy of each byte and gain nothing.
        """
        affordable = self.connections > 1 and self.share >= self.connections * self.min_chunk
        # The other downloads are taken to be as fast. A connection that is slow only because they
        # share the line gains nothing by more connections.
        line = rate * self.jobs
        slow = line < self.fast_bytes_per_s and rest >= line * self.worthwhile_s
        return affordable and slow and rest >= 2 * self.min_chunk

    def chunk(self, rest: int, rate: float) -> int:
        """The length of a chunk if one connection fetches ``rate`` bytes per second.

        ``rest`` may be negative: the first connection may be able to fetch more than is missing
        before the others are connected.
        """
        share = -(-rest // self.connections)
        length = max(self.min_chunk, min(share, int(rate * self.chunk_s)))
        return min(length, self.max_chunk, self.share // self.connections)

    @property
    def share(self) -> int:
        """The memory for the chunks of one download, in bytes."""
        return self.memory // self.jobs


ONE_CONNECTION = Splitting()
"""A single connection, at any rate."""


class Sample:
    """Measures the rate of the first connection, once.

    The rate is that of the second read: the bytes of the first may have waited in the socket, for
    example for the disk, and would look faster than the line is.
    """

    def __init__(self, splitting: Splitting) -> None:
        self._size = splitting.sample if splitting.connections > 1 else 0
        self._begun: tuple[int, float] | None = None

    def limited(self, buffer: memoryview) -> memoryview:
        """The part of ``buffer`` that the next read may fill."""
        return buffer[: self._size] if self._size else buffer

    def rate(self, length: int, now: float) -> float | None:
        """Bytes per second, once: at the second call. None at the first, and at all later ones.

        ``length`` is the length of the partial at the time ``now``.
        """
        if not self._size:
            return None
        if self._begun is None:
            self._begun = (length, now)
            return None
        self._size = 0
        first, since = self._begun
        return (length - first) / max(now - since, 1e-6)


def can_split(head: ResponseHead, prefix: Prefix) -> bool:
    """Whether parts of the object can be requested, and recognized if the object has changed.

    This requires a strong ETag for If-Range (RFC 9110 section 13.1.5), and either a part that was
    sent already (206) or ``Accept-Ranges: bytes`` (section 14.3).
    """
    parts = head.status == 206 or "bytes" in head.headers.get("accept-ranges", "").lower()
    return parts and prefix.validator is not None


@dataclass(slots=True, eq=False)
class Chunk:
    """The bytes from ``first`` up to, not including, ``end``; ``filled`` of them were received.

    ``lane`` is the connection that fetches it now, since the time ``since``, when
    ``filled_before`` bytes had been received.
    """

    first: int
    end: int
    filled: int = 0
    lane: int | None = None
    since: float = 0.0
    filled_before: int = 0
    memory: mmap.mmap = field(init=False)

    def __post_init__(self) -> None:
        # Anonymous pages: the kernel allocates each one when it is first written, and takes it back
        # at once (see ``free``). So a tail that another lane fetches costs no memory, and the heap
        # does not grow.
        size = self.end - self.first
        self.memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    @property
    def position(self) -> int:
        """The position of the next missing byte in the object."""
        return self.first + self.filled

    @property
    def left(self) -> int:
        """How many bytes of the chunk are missing."""
        return self.end - self.position

    @property
    def buffer(self) -> memoryview:
        """The memory for the missing bytes."""
        return memoryview(self.memory)[self.filled : self.end - self.first]

    def received(self, size: int) -> None:
        """``size`` bytes were written to the beginning of the buffer.

        Another lane may have taken over the rest meanwhile: bytes beyond the new end are ignored.
        """
        self.filled += min(size, self.left)

    def free(self) -> None:
        """Return the memory to the kernel, even while a lane still has a view of it."""
        self.memory.madvise(mmap.MADV_DONTNEED)

    def seconds_left(self, now: float) -> float:
        """Seconds until the chunk is complete at its lane's rate so far; infinite without bytes."""
        received, elapsed = self.filled - self.filled_before, now - self.since
        return self.left * elapsed / received if received else float("inf")


class Schedule:
    """The chunks that are being fetched, and which lane fetches which of them.

    ``first`` is the position of the first missing byte, ``total`` the size of the object. The first
    chunk is ``ahead`` bytes longer than ``size``, the length of the others: the connection that is
    open already can fetch so much until the others are connected. ``setup_s`` is the time that it
    needed itself until its response began.

    The schedule begins with ``splitting.connections`` lanes; a lost lane is not replaced. With one
    lane left no new chunk is begun: that lane fills the gaps, and the rest is then fetched by one
    request.
    """

    def __init__(
        self,
        splitting: Splitting,
        first: int,
        total: int,
        size: int,
        *,
        ahead: int = 0,
        setup_s: float = 0.0,
    ) -> None:
        # Twice the time of the first: the others have the same way, but some are slower.
        self._setup_s = max(SETUP_S, 2 * setup_s)
        self._min_to_reopen = splitting.sample
        self.lanes = splitting.connections
        self._window = splitting.connections
        self._next, self._total, self._size = first, total, size
        # Limited so that all chunks fit the memory: on a fast line nothing is left for ``ahead``.
        self._ahead = min(ahead, size, splitting.share - splitting.connections * size)
        self._chunks: deque[Chunk] = deque()
        self._rates: dict[int, float] = {}

    @property
    def head(self) -> Chunk | None:
        """The chunk that is appended now; None if none is being fetched."""
        return self._chunks[0] if self._chunks else None

    @property
    def bytes_present(self) -> int:
        """How many bytes of the object were received, on disk or in a chunk."""
        if not self._chunks:
            return self._next
        return self._chunks[0].first + sum(chunk.filled for chunk in self._chunks)

    @property
    def is_done(self) -> bool:
        """Whether every chunk is appended, and no new one may be begun."""
        return not self._chunks and not self._may_begin

    @property
    def has_no_lanes(self) -> bool:
        """Whether every lane is lost."""
        return self.lanes == 0

    @property
    def _may_begin(self) -> bool:
        return self.lanes > 1 and self._next < self._total

    def head_appended(self) -> None:
        """Remove the first chunk, which is complete and copied for the disk; free its memory."""
        self._chunks.popleft().free()

    def lane_lost(self, lane: int) -> None:
        """Remove a lane: its connection ended, and is not opened again."""
        self._rates.pop(lane, None)
        self.lanes -= 1

    def release(self, chunk: Chunk, now: float) -> None:
        """End the lane's work on the chunk, and note its rate; another lane may continue it."""
        if (
            chunk.lane is not None
            and (received := chunk.filled - chunk.filled_before)
            and now > chunk.since
        ):
            self._rates[chunk.lane] = received / (now - chunk.since)
        chunk.lane = None

    def should_reopen(self, chunk: Chunk, received: int) -> bool:
        """Whether a lane that received ``received`` bytes of the chunk gets a new connection.

        Not if its connection broke after a few bytes: it would be opened again for ever.
        """
        return received > 0 and (not chunk.left or received >= self._min_to_reopen)

    def take(self, lane: int, now: float) -> Chunk | None:
        """Assign a chunk to the lane and return it; None if there is none for now."""
        chunk = self._unassigned() or self._new() or self._split_slowest(lane, now)
        if chunk is not None:
            chunk.lane, chunk.since, chunk.filled_before = lane, now, chunk.filled
        return chunk

    def _unassigned(self) -> Chunk | None:
        return next((chunk for chunk in self._chunks if chunk.lane is None and chunk.left), None)

    def _new(self) -> Chunk | None:
        if not self._may_begin or len(self._chunks) >= self._window:
            return None
        size, self._ahead = self._size + self._ahead, 0
        chunk = Chunk(self._next, min(self._next + size, self._total))
        self._next = chunk.end
        self._chunks.append(chunk)
        return chunk

    def _split_slowest(self, lane: int, now: float) -> Chunk | None:
        """The rest of the chunk that needs longest, as a new chunk, if this lane is much faster.

        It gets memory of its own, because the slow lane may still write behind its chunk's new end.
        """
        slowest = max(self._chunks, key=lambda chunk: chunk.seconds_left(now), default=None)
        rate = self._rates.get(lane) or max(self._rates.values(), default=0.0)
        if slowest is None or not slowest.left or not rate or now - slowest.since < self._setup_s:
            return None
        if slowest.seconds_left(now) < 2 * (self._setup_s + slowest.left / rate):
            return None
        rest = Chunk(slowest.position, slowest.end)
        slowest.end = rest.first
        self._chunks.insert(self._chunks.index(slowest) + 1, rest)
        return rest
