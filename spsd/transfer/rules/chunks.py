"""Several connections for one object: which of them fetches what.

The rest of the object is cut into consecutive chunks, of which a few are under way at a time. They
are appended in order, so what is on disk is always a plain prefix. Positions and sizes are bytes,
times any monotonic seconds.
"""

import mmap
from collections import deque
from dataclasses import dataclass, field, replace

from spsd.transfer.rules.messages import Prefix, ResponseHead

MIB = 1024 * 1024
SETUP_S = 0.5
"""What another connection is reckoned to need before its first byte, at the least."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """When to fetch over several connections, and in what pieces.

    One connection is given room for ``sample`` bytes, twice; if at the rate of the second the rest
    takes ``worthwhile_s`` or more, and the rate is below ``fast``, the others join. A chunk takes
    about ``chunk_s``, and all that are under way fit ``memory``.
    """

    connections: int = 1
    sample: int = 256 * 1024
    worthwhile_s: float = 2.0
    fast: float = 100e6
    chunk_s: float = 4.0
    least: int = MIB
    most: int = 16 * MIB
    memory: int = 64 * MIB
    jobs: int = 1
    """How many downloads share the line, the machine and ``memory``."""

    def among(self, jobs: int) -> "Splitting":
        """The same for one of so many downloads."""
        return replace(self, jobs=jobs) if self.connections > 1 else self

    def is_worthwhile(self, rest: int, rate: float) -> bool:
        """Whether several connections are worth while for the ``rest`` bytes.

        On a fast line one is enough: several cost a copy and gain nothing.
        """
        affordable = self.connections > 1 and self.share >= self.connections * self.least
        # All together, others are as fast: one that is slow by their number has no slow line.
        line = rate * self.jobs
        slow = line < self.fast and rest >= line * self.worthwhile_s
        return affordable and slow and rest >= 2 * self.least

    def chunk(self, rest: int, rate: float) -> int:
        """How long a chunk is, at ``rate`` bytes a second of one connection.

        ``rest`` may be less than nothing: more than there is comes until the others are there.
        """
        share = -(-rest // self.connections)
        wanted = max(self.least, min(share, int(rate * self.chunk_s)))
        return min(wanted, self.most, self.share // self.connections)

    @property
    def share(self) -> int:
        """Bytes that one download may have under way."""
        return self.memory // self.jobs


ALONE = Splitting()
"""One connection, whatever it sends."""


class Sample:
    """How fast the first connection is, asked once.

    From its second read on: what had come before the first was waiting for us, perhaps for the
    disk.
    """

    def __init__(self, splitting: Splitting) -> None:
        self._size = splitting.sample if splitting.connections > 1 else 0
        self._begun: tuple[int, float] | None = None

    def room(self, room: memoryview) -> memoryview:
        """As much of the room as the next read may fill."""
        return room[: self._size] if self._size else room

    def rate(self, length: int, now: float) -> float | None:
        """Bytes a second, with ``length`` bytes here ``now``; None: not known, or told before."""
        if not self._size:
            return None
        if self._begun is None:
            self._begun = (length, now)
            return None
        self._size = 0
        first, since = self._begun
        return (length - first) / max(now - since, 1e-6)


def can_split(head: ResponseHead, prefix: Prefix) -> bool:
    """Whether more of that object can be asked for in parts, and told from another's.

    It takes a strong ETag, and a part that was sent, or the promise of parts (RFC 9110, 14.3).
    """
    parts = head.status == 206 or "bytes" in head.headers.get("accept-ranges", "").lower()
    return parts and prefix.validator is not None


@dataclass(slots=True, eq=False)
class Chunk:
    """The bytes from ``first`` up to ``end``, of which ``filled`` are here.

    ``lane`` is the connection that fetches it now, since ``since``, when ``had`` were here.
    """

    first: int
    end: int
    filled: int = 0
    lane: int | None = None
    since: float = 0.0
    filled_before: int = 0
    memory: mmap.mmap = field(init=False)

    def __post_init__(self) -> None:
        # Pages of its own, which are taken as they are filled and given back at once: the tail
        # that another lane was given costs nothing, and no heap grows by what is freed.
        size = self.end - self.first
        self.memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    @property
    def position(self) -> int:
        """Where the next byte belongs in the object."""
        return self.first + self.filled

    @property
    def left(self) -> int:
        """How many bytes are missing."""
        return self.end - self.position

    @property
    def room(self) -> memoryview:
        """Where the missing bytes go."""
        return memoryview(self.memory)[self.filled : self.end - self.first]

    def received(self, size: int) -> None:
        """So many bytes were put at the beginning of the room.

        Another connection may have been given the rest meanwhile: then they are not needed.
        """
        self.filled += min(size, self.left)

    def free(self) -> None:
        """Give the memory back to the system, even while a lane still has a view of it."""
        self.memory.madvise(mmap.MADV_DONTNEED)

    def seconds_left(self, now: float) -> float:
        """Seconds until it is whole, if it goes on like this."""
        got, taken = self.filled - self.filled_before, now - self.since
        return self.left * taken / got if got else float("inf")


class Schedule:
    """The chunks that are under way, and who may go on with which.

    The first chunk is ``ahead`` bytes longer than the ``size`` of the others: so much comes over
    the connection that is there already, until the others are: it took ``setup_s`` seconds itself.

    ``connections`` lanes begin; one that is lost does not come back. With one lane left no new
    chunk is begun: it fills the gaps, and the rest is better fetched in one piece.
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
        # Twice what the first took: its way is no longer than theirs, but some are slower.
        self._setup_s = max(SETUP_S, 2 * setup_s)
        self._least_to_reopen = splitting.sample
        self.lanes = splitting.connections
        self._window = splitting.connections
        self._next, self._total, self._size = first, total, size
        # All that is under way fits: on a fast line the first chunk is as long as the others.
        self._ahead = min(ahead, size, splitting.share - splitting.connections * size)
        self._chunks: deque[Chunk] = deque()
        self._rates: dict[int, float] = {}

    @property
    def head(self) -> Chunk | None:
        """The chunk that is appended now; None: nothing is under way."""
        return self._chunks[0] if self._chunks else None

    @property
    def reached(self) -> int:
        """How many bytes of the object are here, in whatever place."""
        if not self._chunks:
            return self._next
        return self._chunks[0].first + sum(one.filled for one in self._chunks)

    @property
    def over(self) -> bool:
        """Whether everything that was begun is appended, and nothing more is to be begun."""
        return not self._chunks and not self._may_begin

    @property
    def has_no_lanes(self) -> bool:
        """Whether nobody is left to go on."""
        return self.lanes == 0

    @property
    def _may_begin(self) -> bool:
        return self.lanes > 1 and self._next < self._total

    def appended(self) -> None:
        """The head is whole, and a copy of it on its way to the disk: its memory is free."""
        self._chunks.popleft().free()

    def lane_lost(self, lane: int) -> None:
        """The lane has no connection any more, and gets no other."""
        self._rates.pop(lane, None)
        self.lanes -= 1

    def release(self, chunk: Chunk, now: float) -> None:
        """Its lane has done with it: it is whole, or somebody else goes on."""
        if (
            chunk.lane is not None
            and (got := chunk.filled - chunk.filled_before)
            and now > chunk.since
        ):
            self._rates[chunk.lane] = got / (now - chunk.since)
        chunk.lane = None

    def reopens(self, chunk: Chunk, got: int) -> bool:
        """Whether a lane that brought ``got`` bytes of the chunk is to be opened again."""
        return got > 0 and (not chunk.left or got >= self._least_to_reopen)

    def take(self, lane: int, now: float) -> Chunk | None:
        """What the lane fetches next; None: nothing for now."""
        chunk = self._unassigned() or self._new() or self._split_slowest(lane, now)
        if chunk is not None:
            chunk.lane, chunk.since, chunk.filled_before = lane, now, chunk.filled
        return chunk

    def _unassigned(self) -> Chunk | None:
        return next((one for one in self._chunks if one.lane is None and one.left), None)

    def _new(self) -> Chunk | None:
        if not self._may_begin or len(self._chunks) >= self._window:
            return None
        size, self._ahead = self._size + self._ahead, 0
        chunk = Chunk(self._next, min(self._next + size, self._total))
        self._next = chunk.end
        self._chunks.append(chunk)
        return chunk

    def _split_slowest(self, lane: int, now: float) -> Chunk | None:
        """The rest of the chunk that keeps everybody waiting, if this lane is much faster.

        What is cut off becomes a chunk of its own: the slow one may still write behind its end.
        """
        slowest = max(self._chunks, key=lambda one: one.seconds_left(now), default=None)
        rate = self._rates.get(lane) or max(self._rates.values(), default=0.0)
        if slowest is None or not slowest.left or not rate or now - slowest.since < self._setup_s:
            return None
        if slowest.seconds_left(now) < 2 * (self._setup_s + slowest.left / rate):
            return None
        rest = Chunk(slowest.position, slowest.end)
        slowest.end = rest.first
        self._chunks.insert(self._chunks.index(slowest) + 1, rest)
        return rest
