"""Changes of downloads for event streams and long polls, in the order of the history."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NewType

from spsd.errors import TooManyReadersError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.ports import TransitionLog
from spsd.jobs.progress import ProgressBoard
from spsd.storage.faults import DatabaseError
from spsd.transfer.ports import Progress

Revision = NewType("Revision", str)
"""A state of all downloads, or of one; another daemon's is never equal."""


class Revisions:
    """The counts, changed by whoever changes a download."""

    def __init__(self) -> None:
        self.life = secrets.token_hex(4)
        """What tells this daemon's revisions from another's."""
        self.waiters = 0
        """How many wait at the moment."""
        self._count = 0
        self._floor = 0
        self._counts: dict[JobKey, int] = {}
        self._waiting: dict[JobKey | None, asyncio.Event] = {}
        self._over = False

    def of(self, key: JobKey | None = None) -> Revision:
        """That of all downloads, or of one. Ask before the rows are read: then none is missed."""
        count = self._count if key is None else self._counts.get(key, self._floor)
        return Revision(f"{self.life}-{count}")

    async def wait(self, seen: str, key: JobKey | None = None) -> None:
        """Until the revision is another than ``seen``."""
        self.waiters += 1
        try:
            while self.of(key) == seen and not self._over:
                await self._waiting.setdefault(key, asyncio.Event()).wait()
        finally:
            self.waiters -= 1

    def changed(self, key: JobKey) -> None:
        """The download is another now."""
        self._count += 1
        self._counts[key] = self._count
        for waited in (key, None):
            if (event := self._waiting.pop(waited, None)) is not None:
                event.set()

    def removed(self, key: JobKey) -> None:
        """There is no such download any more."""
        self.changed(key)
        # Of what is gone no count is kept; no download has the revision that it had.
        del self._counts[key]
        self._floor = self._count

    def close(self) -> None:
        """Nobody waits any more."""
        self._over = True
        for event in self._waiting.values():
            event.set()


PROGRESS_S = 0.25
"""Progress is told at most so often."""
MOST_WAITING = 256
"""Connections that may be kept open for changes: half of those that there may be."""
PAUSE_S = 0.001
"""For each reader, after something was told: what happens meanwhile is told together. So no more
than a thousand events a second are sent however many read along; two hundred readers of twenty
downloads that begin and end at once cost a third of their rate without it."""
REMOVALS_KNOWN = 1000
"""How many removed records are remembered for whoever comes back."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A download as it is now, after line ``move`` of the history."""

    job: Job
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """A record that is there no more: the ``removals``-th of this daemon's life."""

    key: JobKey
    removals: int


class Subscriber:
    """One who reads along, all downloads or that of ``key``."""

    def __init__(self, key: JobKey | None) -> None:
        self._key = key
        self.follows_one = key is not None
        self._changes: dict[JobKey, Change | Removal] = {}
        self._news = asyncio.Event()
        self._over = False

    def put(self, key: JobKey, change: Change | Removal) -> None:
        """Tell it, in place of what it has not read yet of the same download."""
        if self._key in (None, key):
            self._changes[key] = change
            self._news.set()

    def end(self) -> None:
        """There is nothing more to come."""
        self._over = True
        self._news.set()

    async def changes(self) -> Sequence[Change | Removal]:
        """What is new, in no order; nothing: it is over."""
        await self._news.wait()
        self._news.clear()
        changes, self._changes = list(self._changes.values()), {}
        return () if self._over else changes


class Feed:
    """Told of changes by whoever makes them; :meth:`run` tells the readers what is on disk."""

    def __init__(
        self,
        moves: TransitionLog,
        board: ProgressBoard,
        *,
        pause_s: float = PAUSE_S,
        progress_s: float = PROGRESS_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._progress_s = progress_s
        self._most_waiting = most_waiting
        self.revisions = Revisions()
        self._transitions = moves
        self._board = board
        self._pause_s = pause_s
        self._subscribers: set[Subscriber] = set()
        self._subscribing = asyncio.Lock()
        self._news = asyncio.Event()
        self._seen = 0
        self._progressed: set[JobKey] = set()
        self._shown: set[JobKey] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._gone: deque[Removal] = deque(maxlen=REMOVALS_KNOWN)
        self._removals = 0
        self._over = False

    @property
    def subscribers(self) -> int:
        """How many read along at the moment."""
        return len(self._subscribers)

    @property
    def followers(self) -> int:
        """How many read along or wait."""
        return len(self._subscribers) + self.revisions.waiters

    @property
    def full(self) -> bool:
        """Whether so many wait or read along that others are to be answered at once."""
        return self.followers >= self._most_waiting

    def added(self, job: Job) -> None:
        """A row is there."""
        self.changed(job.key)

    def moved(self, _: Job, after: Job) -> None:
        """A row is another now."""
        self.changed(after.key)

    def removed(self, job: Job) -> None:
        """A row is gone."""
        self.gone(job.key)

    def changed(self, key: JobKey) -> None:
        """The download's row is another now, durably."""
        self.revisions.changed(key)
        self._news.set()

    def progressed(self, key: JobKey, _: Progress) -> None:
        """More of it is here."""
        self._progressed.add(key)
        if self._pause is None and not self._over:
            self._pause = asyncio.get_running_loop().call_later(
                self._progress_s, self._show_progress
            )

    def stopped(self, _: JobKey) -> None:
        """Whatever ended the work on it has moved the row as well."""

    def _show_progress(self) -> None:
        self._pause = None
        shown, self._progressed = self._progressed, set()
        for key in shown:
            self.revisions.changed(key)
        self._shown |= shown
        self._news.set()

    def gone(self, key: JobKey) -> None:
        """The download's record is gone."""
        self.revisions.removed(key)
        self._progressed.discard(key)
        self._removals += 1
        removal = Removal(key, self._removals)
        self._gone.append(removal)
        for subscriber in self._subscribers:
            subscriber.put(key, removal)

    def close(self) -> None:
        """Nobody waits any more, and every reader ends."""
        self._over = True
        if self._pause is not None:
            self._pause.cancel()
        self.revisions.close()
        self._end_subscribers()

    def _end_subscribers(self) -> None:
        for subscriber in self._subscribers:
            subscriber.end()

    @asynccontextmanager
    async def subscribe(self, key: JobKey | None = None) -> AsyncIterator[Subscriber]:
        """Read along from now on, one download or all.

        Raises:
            TooManyReadersError: others wait or read along already.
            DatabaseError: the rows cannot be read.
        """
        if self.full:
            raise TooManyReadersError(
                f"{self._most_waiting} requests wait for changes or read along already. Ask "
                "without `wait` and without `Accept: text/event-stream`, or try again in a while."
            )
        subscriber = Subscriber(key)
        async with self._subscribing:
            if not self._subscribers:
                self._seen = await self._transitions.last_transition()
            self._subscribers.add(subscriber)
        if self._over:
            subscriber.end()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def now(self) -> tuple[int, int]:
        """The last line of the history, and how many removals there were.

        Ask while reading along and before the rows are read: then none is missed.
        """
        removals = self._removals
        return await self._transitions.last_transition(), removals

    async def since(self, number: int, removals: int) -> Sequence[Change | Removal] | None:
        """What has happened since; None: that is too long ago to know."""
        missed = self._removals - removals
        if not 0 <= missed <= len(self._gone):
            return None
        gone = list(self._gone)[len(self._gone) - missed :]
        return [*gone, *await self._changes(number)]

    async def run(self) -> None:
        """Tell readers what has changed, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                async with self._subscribing:
                    await self._notify()
            except DatabaseError:
                # Whoever comes back looks at everything anew.
                self._end_subscribers()
            if self._subscribers:
                await asyncio.sleep(self._pause_s * len(self._subscribers))

    async def _notify(self) -> None:
        shown, self._shown = self._shown, set()
        if not self._subscribers:
            return
        for change in await self._changes(self._seen, also=shown):
            self._seen = max(self._seen, change.number)
            for subscriber in self._subscribers:
                subscriber.put(change.job.key, change)

    async def _changes(self, number: int, *, also: Collection[JobKey] = ()) -> Sequence[Change]:
        removals = self._removals
        moved = await self._transitions.transitions_since(number, also=also)
        # A record that went while the rows were read does not come back.
        gone = {one.key for one in self._gone if one.removals > removals}
        return [
            Change(self._board.live(one.job), one.number)
            for one in moved
            if one.job.key not in gone
        ]
