"""Changes of downloads for event streams and long polls.

:class:`Feed` observes the rows and the progress of jobs. A change only marks the feed; the task of
:meth:`Feed.run` then reads the changed rows, in the order of the history, and passes them to each
:class:`Subscriber`. A long poll waits for another :data:`Revision` instead, and then reads the rows
that it needs itself.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NewType

from spsd.jobs.job import Job, JobKey
from spsd.jobs.ports import TransitionLog
from spsd.jobs.progress import ProgressBoard
from spsd.storage.faults import DatabaseError
from spsd.transfer.ports import Progress

Revision = NewType("Revision", str)
"""Identifies a state of all downloads, or of one download. Two daemons never use the same value."""


class Revisions:
    """Counts the changes of each download and of all, and lets clients wait for the next."""

    def __init__(self) -> None:
        self.life = secrets.token_hex(4)
        """Random token of this daemon process: part of each of its revisions."""
        self.waiters = 0
        """Number of calls of :meth:`wait` that are waiting now."""
        self._count = 0
        self._floor = 0
        self._counts: dict[JobKey, int] = {}
        self._waiting: dict[JobKey | None, asyncio.Event] = {}
        self._closed = False

    def current(self, key: JobKey | None = None) -> Revision:
        """The revision of the download ``key``, or of all downloads.

        Take it before the rows are read: then a change during the read leads to another revision.
        """
        count = self._count if key is None else self._counts.get(key, self._floor)
        return Revision(f"{self.life}-{count}")

    async def wait(self, known: str, key: JobKey | None = None) -> None:
        """Wait until the revision of ``key`` (None: of all) is not ``known``, or :meth:`close`."""
        self.waiters += 1
        try:
            while self.current(key) == known and not self._closed:
                await self._waiting.setdefault(key, asyncio.Event()).wait()
        finally:
            self.waiters -= 1

    def changed(self, key: JobKey) -> None:
        """The download has changed: give it a new revision and wake the calls of :meth:`wait`."""
        self._count += 1
        self._counts[key] = self._count
        for waiting_for in (key, None):
            if (event := self._waiting.pop(waiting_for, None)) is not None:
                event.set()

    def removed(self, key: JobKey) -> None:
        """The download's record was removed."""
        self.changed(key)
        # Memory: no count is kept for a removed download. The floor ensures that its later
        # revision, and that of any unknown key, differs from every revision that it had.
        del self._counts[key]
        self._floor = self._count

    def close(self) -> None:
        """End all waits, now and from now on."""
        self._closed = True
        for event in self._waiting.values():
            event.set()


PROGRESS_S = 0.25
"""Shortest time between two events about progress."""
PAUSE_S = 0.001
"""Pause for each subscriber after a round of events; changes during the pause are sent together.

It limits the events to a thousand a second for any number of subscribers. Without it, two hundred
subscribers of twenty downloads that begin and end at the same time cost a third of the download
rate."""
REMOVALS_KNOWN = 1000
"""Removed records that are remembered for clients that reconnect."""
RESUME_LINES = 200
"""Lines of the history that a client that reconnects may have missed; after more of them it begins
anew. This bounds what one request makes the feed read, and what it holds for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A download in its present state; line ``number`` of the history is its newest."""

    job: Job
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """A removed record; ``removals`` is its number among this daemon's removals, from 1."""

    key: JobKey
    removals: int


class Subscriber:
    """An event stream of all downloads (``key`` None) or of one."""

    def __init__(self, key: JobKey | None) -> None:
        self._key = key
        self.follows_one = key is not None
        self._changes: dict[JobKey, Change | Removal] = {}
        self._ready = asyncio.Event()
        self._ended = False

    def put(self, key: JobKey, change: Change | Removal) -> None:
        """Queue a change, if it is of a subscribed download.

        It replaces an unread change of the same download, so a slow client costs bounded memory.
        """
        if self._key in (None, key):
            self._changes[key] = change
            self._ready.set()

    def end(self) -> None:
        """End the stream: :meth:`changes` returns nothing from now on."""
        self._ended = True
        self._ready.set()

    async def changes(self) -> Sequence[Change | Removal]:
        """Wait for changes; returns all unread ones, in no order. Empty: the stream has ended."""
        await self._ready.wait()
        self._ready.clear()
        changes, self._changes = list(self._changes.values()), {}
        return () if self._ended else changes


class Feed:
    """Observes rows and progress; :meth:`run` reads changed rows and passes them to subscribers.

    Times are in seconds.
    """

    def __init__(
        self,
        transitions: TransitionLog,
        board: ProgressBoard,
        *,
        pause_s: float = PAUSE_S,
        progress_s: float = PROGRESS_S,
    ) -> None:
        self._progress_s = progress_s
        self.revisions = Revisions()
        self._transitions = transitions
        self._board = board
        self._pause_s = pause_s
        self._subscribers: set[Subscriber] = set()
        self._subscribing = asyncio.Lock()
        self._resuming = asyncio.Lock()
        self._newest = 0
        """The highest number of a line that any client was given."""
        self._changed = asyncio.Event()
        self._notified_up_to = 0
        self._progressed: set[JobKey] = set()
        self._progress_due: set[JobKey] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._removed: deque[Removal] = deque(maxlen=REMOVALS_KNOWN)
        self._removals = 0
        self._closed = False

    @property
    def subscribers(self) -> int:
        """Number of event streams that are open now."""
        return len(self._subscribers)

    @property
    def followers(self) -> int:
        """Number of clients that have an event stream open or wait for another revision."""
        return len(self._subscribers) + self.revisions.waiters

    def added(self, job: Job) -> None:
        """A row was added."""
        self.changed(job.key)

    def moved(self, _: Job, after: Job) -> None:
        """A row was changed by a transition."""
        self.changed(after.key)

    def removed(self, job: Job) -> None:
        """A row was removed."""
        self.gone(job.key)

    def changed(self, key: JobKey) -> None:
        """The download's row was added or changed, durably."""
        self.revisions.changed(key)
        self._changed.set()

    def progressed(self, key: JobKey, _: Progress) -> None:
        """More bytes of the download have been received."""
        self._progressed.add(key)
        if self._pause is None and not self._closed:
            self._pause = asyncio.get_running_loop().call_later(
                self._progress_s, self._publish_progress
            )

    def stopped(self, key: JobKey) -> None:
        """The run of the job has ended; its last transition was reported by :meth:`moved`.

        That event has the final progress, so progress that is not published yet is dropped.
        """
        self._progressed.discard(key)

    def _publish_progress(self) -> None:
        self._pause = None
        progressed, self._progressed = self._progressed, set()
        for key in progressed:
            self.revisions.changed(key)
        self._progress_due |= progressed
        self._changed.set()

    def gone(self, key: JobKey) -> None:
        """The download's record was removed: pass that to the subscribers."""
        self.revisions.removed(key)
        self._progressed.discard(key)
        self._removals += 1
        removal = Removal(key, self._removals)
        self._removed.append(removal)
        for subscriber in self._subscribers:
            subscriber.put(key, removal)

    def close(self) -> None:
        """End all waits and all event streams, now and from now on."""
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        self.revisions.close()
        self._end_subscribers()

    def _end_subscribers(self) -> None:
        for subscriber in self._subscribers:
            subscriber.end()

    @asynccontextmanager
    async def subscribe(self, key: JobKey | None = None) -> AsyncIterator[Subscriber]:
        """Open an event stream of one download, or of all; it has the changes from now on.

        Raises:
            DatabaseError: the history cannot be read.
        """
        subscriber = Subscriber(key)
        async with self._subscribing:
            if not self._subscribers:
                self._notified_up_to = await self._transitions.last_transition()
            self._subscribers.add(subscriber)
        if self._closed:
            subscriber.end()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def position(self) -> tuple[int, int]:
        """The number of the newest line of the history, and the number of removals so far.

        Take it after subscribing and before the rows are read: then no change is missed.
        """
        removals = self._removals
        number = await self._transitions.last_transition()
        self._newest = max(self._newest, number)
        return number, removals

    async def changes_since(self, number: int, removals: int) -> Sequence[Change | Removal] | None:
        """The changes after a position that :meth:`position` gave.

        None: no client was given that position; or more than :data:`RESUME_LINES` lines were
        written since; or it is unknown which records were removed since, because more than
        :data:`REMOVALS_KNOWN` were.

        Raises:
            DatabaseError: the rows cannot be read.
        """
        if not 0 <= number <= self._newest:
            return None
        # One at a time: many clients that reconnect together must not hold all those rows at once.
        async with self._resuming:
            if await self._transitions.last_transition() - number > RESUME_LINES:
                return None
            missed = self._removals - removals
            if not 0 <= missed <= len(self._removed):
                return None
            removed = list(self._removed)[len(self._removed) - missed :]
            return [*removed, *await self._changes(number)]

    async def run(self) -> None:
        """Pass changes to the subscribers, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                async with self._subscribing:
                    await self._notify()
            except DatabaseError:
                # Changes may be lost, so the streams end: a client that reconnects gets the newest
                # state of everything that has changed.
                self._end_subscribers()
            if self._subscribers:
                await asyncio.sleep(self._pause_s * len(self._subscribers))

    async def _notify(self) -> None:
        progressed, self._progress_due = self._progress_due, set()
        if not self._subscribers:
            return
        for change in await self._changes(self._notified_up_to, also=progressed):
            self._notified_up_to = max(self._notified_up_to, change.number)
            for subscriber in self._subscribers:
                subscriber.put(change.job.key, change)

    async def _changes(self, number: int, *, also: Collection[JobKey] = ()) -> Sequence[Change]:
        removals = self._removals
        transitions = await self._transitions.transitions_since(number, also=also)
        self._newest = max([self._newest, *(transition.number for transition in transitions)])
        # A record that was removed while the rows were read must not be reported as changed.
        removed = {removal.key for removal in self._removed if removal.removals > removals}
        return [
            Change(self._board.with_progress(transition.job), transition.number)
            for transition in transitions
            if transition.job.key not in removed
        ]
