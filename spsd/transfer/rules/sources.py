"""Which source of a job is asked next, and which are left for good: pure.

The sources are the job's URL and its mirrors; what is known of them is of one run. Each waits by
itself after a failure, so a dead one, or one that sends Retry-After, holds up no other. A source
that can never deliver is struck out: after a failure for good, or after it has led to a wrong
digest. It ends: each mismatch but one strikes a source out, and every other failure is charged to
the job's budget.

Bytes of several connections that together are wrong prove nothing against any of them. They get
one clean retry, and from then on sources are not mixed: leaving one drops its bytes, and so the
next mismatch is somebody's. With a single source that is: one clean retry, then the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from spsd.transfer.rules.retry import RetryPolicy, backoff_s

FAILURES_BEFORE_DISCARD = 3
"""After so many failures in a row without a new byte, unmixed bytes are given up."""


@dataclass(frozen=True, slots=True)
class Source:
    """One URL, and what came of it; ``failures`` are those in a row without a new byte.

    ``ready_at`` is on the caller's clock, in seconds: it is not asked before.
    """

    url: str
    failures: int = 0
    ready_at: float = -math.inf
    tried: bool = False
    excluded: bool = False
    suspected: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Ask source number ``index`` after ``wait_s`` seconds; ``drops``: from byte 0."""

    index: int
    wait_s: float
    discards: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of a job in the order of preference, struck ones too; ``current`` was asked last.

    ``unmixed`` says that the clean retry is spent.
    """

    all: tuple[Source, ...]
    current: int = 0
    unmixed: bool = False

    @classmethod
    def of(cls, urls: Sequence[str], *, spent: int) -> "Sources":
        """At the beginning of a run, with ``spent`` attempts of the budget charged already."""
        earlier = max(0, spent - 1) // len(urls)
        return cls(tuple(Source(url, failures=earlier) for url in urls))

    @property
    def has_mirrors(self) -> bool:
        """The job has mirrors."""
        return len(self.all) > 1

    @property
    def is_any_left(self) -> bool:
        """There is a source that is not struck out."""
        return any(not source.excluded for source in self.all)

    @property
    def tried(self) -> int:
        """How many sources have been asked."""
        return sum(source.tried for source in self.all)

    def turn(self, *, now: float, holding: bool) -> Turn:
        """Whom to ask next; ``holding`` says that there are bytes. At least one source is left.

        Of those that need not wait, the one without suspicion and with the fewest failures; of
        equals, the first. If all have to wait, the one that waits least.
        """
        selected = self.all[self.current]
        stays = (
            self.unmixed
            and holding
            and not selected.excluded
            and selected.failures < FAILURES_BEFORE_DISCARD
        )
        live = [i for i, source in enumerate(self.all) if not source.excluded]
        index = self.current if stays else min(live, key=partial(self._rank, now))
        discards = self.unmixed and holding and index != self.current
        return Turn(index, self._wait_s(now, index), discards)

    def selected(self, index: int) -> "Sources":
        """Source ``index`` is being asked."""
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
        """The current one failed, and may do better later; it waits as a lone source would."""
        source = self.all[self.current]
        failures = 0 if gained else source.failures + 1
        wait_s = backoff_s(policy, max(1, failures), spread=spread, retry_after=retry_after)
        waiting = replace(source, failures=failures, ready_at=now + wait_s)
        return self._put(self.current, waiting)

    def failed_for_good(self) -> "Sources":
        """The current one will never do better."""
        return self._exclude(self.current)

    def mismatched(self, pieces: Sequence[int | None], *, mixed: bool) -> "Sources":
        """The whole has the wrong digest; ``pieces`` says whose bytes they are, in order.

        None stands for an earlier run. ``glued`` says that they came over several connections.
        """
        if mixed and not self.unmixed:
            named = set(pieces)
            marked = (replace(source, suspected=i in named) for i, source in enumerate(self.all))
            return replace(self, all=tuple(marked), unmixed=True)
        last = pieces[-1] if pieces else None  # an empty object is no piece
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
    """Whose bytes a partial has: a piece for each connection that brought some, in order."""

    def __init__(self, length: int) -> None:
        """``length`` bytes are here from an earlier run."""
        self.pieces: list[int | None] = [None]
        self.begin(0, length)

    @property
    def mixed(self) -> bool:
        """The bytes came over several connections, or may have."""
        return len(self.pieces) > 1 or None in self.pieces

    def begin(self, source: int, length: int) -> None:
        """A connection to ``source`` begins, with ``length`` bytes here."""
        self._source = source
        self._base: int | None = None
        self._noted = False
        if length == 0:
            self.pieces = []

    def reached(self, done: int) -> None:
        """That many bytes are here now; the first call tells where the connection goes on."""
        if done == 0:
            self.pieces = []
            self._base = 0
            self._noted = False
        elif self._base is None:
            self._base = done
        elif done > self._base and not self._noted:
            self.pieces.append(self._source)
            self._noted = True
