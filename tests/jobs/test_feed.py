"""What readers are told: whoever is cut off anywhere, and comes back, ends with what is true."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.jobs.feed import Change, Feed, Removal, Subscriber
from spsd.jobs.job import Job, JobKey
from spsd.jobs.ports import LoggedTransition
from spsd.jobs.progress import ProgressBoard
from spsd.storage.faults import DatabaseError, DatabaseFault
from spsd.transfer.ports import Progress
from spsd.web.api.events import EventPosition, encode_events, parse_position

EVERYTHING = 10**9
KEYS = [JobKey(name) for name in "abcdef"]


@dataclass
class History:
    """Rows and their last lines, as the repository gives them."""

    rows: dict[JobKey, LoggedTransition] = field(default_factory=dict)
    lines: int = 0
    broken: bool = False

    async def last_transition(self) -> int:
        await asyncio.sleep(0)
        return self.lines

    async def transitions_since(
        self, move: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        if self.broken:
            raise DatabaseError(DatabaseFault.CORRUPT, "the database", "it is torn")
        found = [one for one in self.rows.values() if one.number > move or one.job.key in also]
        await asyncio.sleep(0)  # others change rows while these are on their way
        return sorted(found, key=lambda one: one.number)

    def write(self, key: JobKey) -> None:
        self.lines += 1
        job = Job.submitted(key, "http://x/", "a" * 64, now=self.lines)
        self.rows[key] = LoggedTransition(job, self.lines)


class Client:
    """Keeps what it was told, as far as it was told."""

    def __init__(self, feed: Feed, history: History) -> None:
        self._feed = feed
        self._history = history
        self.known: dict[str, int] = {}
        self._last = ""

    async def connect(self) -> None:
        self._reading = self._feed.subscribe()
        self._reader = await self._reading.__aenter__()
        place = parse_position(self._last, life=self._feed.revisions.life)
        missed = place and await self._feed.changes_since(place.transition, place.removals)
        if place is None or missed is None:
            move, removals = await self._feed.position()
            self._place = EventPosition(self._feed.revisions.life, removals, move)
            self.known = {key: one.job.changed_at for key, one in self._history.rows.items()}
            self._last = str(self._place)
        else:
            self._place = place
            self._take(missed, EVERYTHING)

    async def disconnect(self) -> None:
        await self._reading.__aexit__(None, None, None)

    async def read(self, most: int) -> None:
        try:
            async with asyncio.timeout(0):
                changes = await self._reader.changes()
        except TimeoutError:
            changes = ()
        self._take(changes, most)

    def _take(self, changes: Sequence[Change | Removal], most: int) -> None:
        events = list(encode_events(self._place, changes, lambda change: repr(change).encode()))
        by_key = {repr(one).encode(): one for one in changes if isinstance(one, Change)}
        for place, text in events[:most]:
            last, _, data = (line.partition(b": ")[2] for line in text.split(b"\n")[:3])
            if (change := by_key.get(data)) is not None:
                self.known[change.job.key] = change.job.changed_at
            else:
                self.known.pop(data.decode().split('"')[3], None)
            self._place, self._last = place, last.decode()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(KEYS)),
        st.tuples(st.just("remove"), st.sampled_from(KEYS)),
        st.tuples(st.just("progress"), st.sampled_from(KEYS)),
        st.tuples(st.just("turn"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.just(EVERYTHING)),
        st.tuples(st.just("cut"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Life:
    """A feed, its history, and a client that is cut off now and then."""

    def __init__(self) -> None:
        self.history = History()
        self.feed = Feed(self.history, ProgressBoard(), pause_s=0)
        self.client = Client(self.feed, self.history)
        self.gone: set[JobKey] = set()

    async def write(self, key: JobKey) -> None:
        if key not in self.gone:  # a key is made anew for each download, and never comes back
            self.history.write(key)
            self.feed.changed(key)

    async def remove(self, key: JobKey) -> None:
        if self.history.rows.pop(key, None) is not None:
            self.gone.add(key)
            self.feed.gone(key)

    async def progress(self, key: JobKey) -> None:
        if key in self.history.rows:
            self.feed.progressed(key, Progress(1, 2))
            self.feed._publish_progress()

    async def turn(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def read(self, most: int) -> None:
        await self.client.read(most)

    async def cut(self, most: int) -> None:
        await self.read(most)
        await self.client.disconnect()
        await self.client.connect()


async def lived(steps: Sequence[tuple[str, object]]) -> tuple[dict[str, int], dict[str, int]]:
    life = Life()
    pump = asyncio.create_task(life.feed.run())
    await life.client.connect()
    for act, value in steps:
        await getattr(life, act)(value)
    await life.turn(10)
    await life.read(EVERYTHING)
    await life.client.disconnect()
    life.feed.close()
    pump.cancel()
    await asyncio.wait([pump])
    true = {key: one.job.changed_at for key, one in life.history.rows.items()}
    return life.client.known, true


@settings(max_examples=1000)
@given(STEPS)
def test_a_client_that_is_cut_off_anywhere_ends_with_what_is_true(steps) -> None:
    known, true = asyncio.run(lived(steps))
    assert known == true


async def test_of_a_slow_reader_the_newest_is_kept() -> None:
    subscriber = Subscriber(None)
    job = Job.submitted(KEYS[0], "http://x/", "a" * 64, now=1)
    for number in range(1000):
        subscriber.put(job.key, Change(replace(job, progress=Progress(number, 1000)), 1))
    [change] = await subscriber.changes()
    assert change.job.progress.done == 999


async def test_a_database_that_cannot_be_read_ends_the_streams_and_not_the_feed() -> None:
    history = History()
    feed = Feed(history, ProgressBoard())
    pump = asyncio.create_task(feed.run())
    async with feed.subscribe() as subscriber:
        history.broken = True
        feed.changed(KEYS[0])
        assert await subscriber.changes() == ()
    history.broken = False
    async with feed.subscribe() as subscriber:
        history.write(KEYS[0])
        feed.changed(KEYS[0])
        [change] = await subscriber.changes()
        assert change.job.key == KEYS[0]
    feed.close()
    pump.cancel()
    await asyncio.wait([pump])


async def test_without_readers_no_row_is_read() -> None:
    history = History(broken=True)
    feed = Feed(history, ProgressBoard())
    pump = asyncio.create_task(feed.run())
    feed.changed(KEYS[0])
    for _ in range(10):
        await asyncio.sleep(0)
    assert not pump.done()
    feed.close()
    pump.cancel()
    await asyncio.wait([pump])


@pytest.mark.parametrize("key", [None, KEYS[0]])
async def test_a_revision_is_another_after_each_change(key) -> None:
    feed = Feed(History(), ProgressBoard())
    seen = {feed.revisions.current(key)}
    for act in (feed.changed, feed.changed, feed.gone, feed.changed, feed.gone):
        act(KEYS[0])
        assert feed.revisions.current(key) not in seen
        seen.add(feed.revisions.current(key))
    assert Feed(History(), ProgressBoard()).revisions.current(key) not in seen
