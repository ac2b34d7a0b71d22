"""Which source of a job is requested next, and which are excluded. Pure.

The sources are the job's URL and its mirrors; their state is kept for one run of the job.

* Each source has its own wait after a failure, so an unreachable source, or one that sends
  Retry-After, delays no other.
* A source is excluded for the rest of the run after a permanent failure, and after its bytes had
  the wrong digest.
* If bytes of several connections have the wrong digest, it is unknown which source sent the wrong
  ones. So no source is excluded, and the download starts again once (the clean retry). From then on
  sources are not mixed: a change of source discards the bytes, and the next wrong digest belongs to
  one source. With a single source this means one clean retry, then failure.
* A run ends: each wrong digest except one excludes a source, and each other failure is charged to
  the job's budget of attempts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from spsd.transfer.rules.retry import RetryPolicy, backoff_s

FAILURES_BEFORE_DISCARD = 3
"""After so many failures in a row without a new byte, unmixed bytes are discarded."""


@dataclass(frozen=True, slots=True)
class Source:
    """One URL and its state in this run. ``failures`` counts those in a row without a new byte.

    ``ready_at``, in seconds on the caller's clock, is the earliest time of the next request.
    ``suspected``: it sent some of the bytes that together had the wrong digest.
    """

    url: str
    failures: int = 0
    ready_at: float = -math.inf
    tried: bool = False
    excluded: bool = False
    suspected: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The next request goes to source ``index``, after ``wait_s`` seconds.

    ``discards``: the bytes on disk are discarded before.
    """

    index: int
    wait_s: float
    discards: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of a job in order of preference, with the excluded ones.

    ``current`` is the index of the source that was requested last. ``unmixed``: the clean retry is
    used, and bytes of several sources are no longer mixed.
    """

    all: tuple[Source, ...]
    current: int = 0
    unmixed: bool = False

    @classmethod
    def at_start(cls, urls: Sequence[str], *, spent: int) -> "Sources":
        """The state at the start of a run; ``spent`` attempts of the budget are used already.

        They are counted as failures, spread evenly over all sources: what each of them did in an
        earlier run is unknown.
        """
        earlier = max(0, spent - 1) // len(urls)
        return cls(tuple(Source(url, failures=earlier) for url in urls))

    @property
    def has_mirrors(self) -> bool:
        """Whether the job has mirrors."""
        return len(self.all) > 1

    @property
    def is_any_left(self) -> bool:
        """Whether there is a source that is not excluded."""
        return any(not source.excluded for source in self.all)

    @property
    def tried(self) -> int:
        """How many sources were requested in this run."""
        return sum(source.tried for source in self.all)

    def next_turn(self, *, now: float, has_bytes: bool) -> Turn:
        """The source that is requested next; at least one must be left.

        It is the one with the shortest wait; of several that need not wait, one that is not
        suspected, with the fewest failures; of equals, the first. ``has_bytes``: the partial is not
        empty. Then unmixed bytes stay with their source until it has failed too often.
        """
        current = self.all[self.current]
        stays = (
            self.unmixed
            and has_bytes
            and not current.excluded
            and current.failures < FAILURES_BEFORE_DISCARD
        )
        usable = [i for i, source in enumerate(self.all) if not source.excluded]
        index = self.current if stays else min(usable, key=partial(self._rank, now))
        discards = self.unmixed and has_bytes and index != self.current
        return Turn(index, self._wait_s(now, index), discards)

    def selected(self, index: int) -> "Sources":
        """The state once source ``index`` is requested."""
        marked = self._put(index, replace(self.all[index], tried=True))
        return replace(marked, current=index)

    def failed(
        self,
        policy: RetryPolicy,
        *,
        gained: bool,
        retry_after: float | None,
        spread: float,
        now: float,
    ) -> "Sources":
        """The state after the current source failed, but may succeed later.

        It waits as it would without mirrors: see :func:`~spsd.transfer.rules.retry.backoff_s`.
        ``gained``: the attempt brought bytes that refund the budget.
        """
        source = self.all[self.current]
        failures = 0 if gained else source.failures + 1
        wait_s = backoff_s(policy, max(1, failures), spread=spread, retry_after=retry_after)
        waiting = replace(source, failures=failures, ready_at=now + wait_s)
        return self._put(self.current, waiting)

    def failed_for_good(self) -> "Sources":
        """The state after a permanent failure of the current source: it is excluded."""
        return self._exclude(self.current)

    def mismatched(self, pieces: Sequence[int | None], *, mixed: bool) -> "Sources":
        """The state after a complete download had the wrong digest.

        ``pieces`` names the source of each piece of the bytes, in order; None is an earlier run.
        ``mixed``: they came over several connections.
        """
        if mixed and not self.unmixed:
            involved = set(pieces)
            marked = (replace(source, suspected=i in involved) for i, source in enumerate(self.all))
            return replace(self, all=tuple(marked), unmixed=True)
        last = pieces[-1] if pieces else None  # an empty object has no pieces
        return self._exclude(self.current if last is None else last)

    def _rank(self, now: float, index: int) -> tuple[float, bool, int]:
        source = self.all[index]
        return self._wait_s(now, index), source.suspected, source.failures

    def _wait_s(self, now: float, index: int) -> float:
        return max(0.0, self.all[index].ready_at - now)

    def _exclude(self, index: int) -> "Sources":
        return self._put(index, replace(self.all[index], excluded=True))

    def _put(self, index: int, source: Source) -> "Sources":
        return replace(self, all=(*self.all[:index], source, *self.all[index + 1 :]))


class Provenance:
    """Which source sent which bytes of a partial: a piece for each connection, in order.

    ``pieces`` has the number of each piece's source; None stands for the bytes of an earlier run.
    """

    def __init__(self, length: int) -> None:
        """``length`` bytes are on disk from an earlier run."""
        self.pieces: list[int | None] = [None]
        self.begin(0, length)

    @property
    def mixed(self) -> bool:
        """Whether the bytes came over several connections, or may have."""
        return len(self.pieces) > 1 or None in self.pieces

    def begin(self, source: int, length: int) -> None:
        """A connection to ``source`` begins while ``length`` bytes are on disk."""
        self._source = source
        self._base: int | None = None
        self._noted = False
        if length == 0:
            self.pieces = []

    def reached(self, done: int) -> None:
        """``done`` bytes are on disk now; the first call states where the connection continues.

        A call with 0 means that the connection started over: the earlier pieces are gone.
        """
        if done == 0:
            self.pieces = []
            self._base = 0
            self._noted = False
        elif self._base is None:
            self._base = done
        elif done > self._base and not self._noted:
            self.pieces.append(self._source)
            self._noted = True
