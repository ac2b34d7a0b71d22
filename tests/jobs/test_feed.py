"""The feed: a client that is disconnected anywhere and reconnects ends with the true state."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.jobs.feed import RESUME_LINES, Change, Feed, Removal, Subscriber
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
        self, number: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        if self.broken:
            raise DatabaseError(DatabaseFault.CORRUPT, "the database", "it is damaged")
        selected = [row for row in self.rows.values() if row.number > number or row.job.key in also]
        await asyncio.sleep(0)  # rows may change before the result is used
        return sorted(selected, key=lambda row: row.number)

    def write(self, key: JobKey) -> None:
        self.lines += 1
        job = Job.submitted(key, "http://x/", "a" * 64, now=self.lines)
        self.rows[key] = LoggedTransition(job, self.lines)


class Client:
    """A client: ``known`` is what it knows from the events that it has read."""

    def __init__(self, feed: Feed, history: History) -> None:
        self._feed = feed
        self._history = history
        self.known: dict[str, int] = {}
        self._last = ""

    async def connect(self) -> None:
        self._subscription = self._feed.subscribe()
        self._subscriber = await self._subscription.__aenter__()
        position = parse_position(self._last, life=self._feed.revisions.life)
        missed = position and await self._feed.changes_since(position.transition, position.removals)
        if position is None or missed is None:
            transition, removals = await self._feed.position()
            self._position = EventPosition(self._feed.revisions.life, removals, transition)
            self.known = {key: row.job.changed_at for key, row in self._history.rows.items()}
            self._last = str(self._position)
        else:
            self._position = position
            self._take(missed, EVERYTHING)

    async def disconnect(self) -> None:
        await self._subscription.__aexit__(None, None, None)

    async def read(self, most: int) -> None:
        try:
            async with asyncio.timeout(0):
                changes = await self._subscriber.changes()
        except TimeoutError:
            changes = ()
        self._take(changes, most)

    def _take(self, changes: Sequence[Change | Removal], most: int) -> None:
        events = list(encode_events(self._position, changes, lambda change: repr(change).encode()))
        by_text = {
            repr(change).encode(): change for change in changes if isinstance(change, Change)
        }
        for position, text in events[:most]:
            last, _, data = (line.partition(b": ")[2] for line in text.split(b"\n")[:3])
            if (change := by_text.get(data)) is not None:
                self.known[change.job.key] = change.job.changed_at
            else:
                self.known.pop(data.decode().split('"')[3], None)
            self._position, self._last = position, last.decode()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(KEYS)),
        st.tuples(st.just("remove"), st.sampled_from(KEYS)),
        st.tuples(st.just("progress"), st.sampled_from(KEYS)),
        st.tuples(st.just("turn"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.just(EVERYTHING)),
        st.tuples(st.just("reconnect"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Simulation:
    """A feed, its history, and a client that is disconnected at times."""

    def __init__(self) -> None:
        self.history = History()
        self.feed = Feed(self.history, ProgressBoard(), pause_s=0)
        self.client = Client(self.feed, self.history)
        self.removed_keys: set[JobKey] = set()

    async def write(self, key: JobKey) -> None:
        if key not in self.removed_keys:  # the key of a removed download is never used again
            self.history.write(key)
            self.feed.changed(key)

    async def remove(self, key: JobKey) -> None:
        if self.history.rows.pop(key, None) is not None:
            self.removed_keys.add(key)
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

    async def reconnect(self, most: int) -> None:
        await self.read(most)
        await self.client.disconnect()
        await self.client.connect()


async def simulated(
    steps: Sequence[tuple[str, object]],
) -> tuple[dict[str, int], dict[str, int]]:
    """What the client knows after the steps, and the true state."""
    simulation = Simulation()
    pump = asyncio.create_task(simulation.feed.run())
    await simulation.client.connect()
    for act, value in steps:
        await getattr(simulation, act)(value)
    await simulation.turn(10)
    await simulation.read(EVERYTHING)
    await simulation.client.disconnect()
    simulation.feed.close()
    pump.cancel()
    await asyncio.wait([pump])
    true = {key: row.job.changed_at for key, row in simulation.history.rows.items()}
    return simulation.client.known, true


@settings(max_examples=1000)
@given(STEPS)
def test_a_client_that_reconnects_after_any_event_ends_with_the_true_state(steps) -> None:
    known, true = asyncio.run(simulated(steps))
    assert known == true


async def test_a_slow_subscriber_gets_the_newest_change_only() -> None:
    subscriber = Subscriber(None)
    job = Job.submitted(KEYS[0], "http://x/", "a" * 64, now=1)
    for number in range(1000):
        subscriber.put(job.key, Change(replace(job, progress=Progress(number, 1000)), 1))
    [change] = await subscriber.changes()
    assert change.job.progress.done == 999


async def test_no_event_of_progress_follows_the_end_of_a_run() -> None:
    history = History()
    feed = Feed(history, ProgressBoard(), pause_s=0, progress_s=0)
    running = asyncio.create_task(feed.run())
    async with feed.subscribe() as subscriber:
        feed.progressed(KEYS[0], Progress(1, 2))
        history.write(KEYS[0])
        feed.changed(KEYS[0])
        feed.stopped(KEYS[0])
        [last] = await subscriber.changes()
        assert last.number == history.lines
        # The timer of the progress is due; the next change is that of another download.
        await asyncio.sleep(0.01)
        history.write(KEYS[1])
        feed.changed(KEYS[1])
        [change] = await subscriber.changes()
        assert change.job.key == KEYS[1]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


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


async def test_without_subscribers_no_row_is_read() -> None:
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


@given(st.integers(0, 3 * RESUME_LINES), st.integers(-5, 2**64), st.integers(-5, 2**64))
def test_changes_are_given_after_known_positions_only_and_never_too_many(
    lines: int, number: int, removals: int
) -> None:
    async def changes() -> Sequence[Change | Removal] | None:
        history = History()
        feed = Feed(history, ProgressBoard())
        for line in range(lines):
            history.write(JobKey(str(line)))
        await feed.position()
        return await feed.changes_since(number, removals)

    missed = asyncio.run(changes())
    if removals or not max(0, lines - RESUME_LINES) <= number <= lines:
        assert missed is None
    else:
        assert missed is not None
        assert len(missed) == lines - number


@given(st.data(), st.integers(0, RESUME_LINES))
def test_a_position_within_the_bounds_is_resumed(data: st.DataObject, lines: int) -> None:
    async def missed(number: int) -> int:
        history = History()
        feed = Feed(history, ProgressBoard())
        for line in range(lines):
            history.write(JobKey(str(line)))
        await feed.position()
        return len(await feed.changes_since(number, 0) or ())

    number = data.draw(st.integers(0, lines))
    assert asyncio.run(missed(number)) == lines - number


@pytest.mark.parametrize("key", [None, KEYS[0]])
async def test_each_change_gives_a_new_revision(key) -> None:
    feed = Feed(History(), ProgressBoard())
    earlier = {feed.revisions.current(key)}
    for act in (feed.changed, feed.changed, feed.gone, feed.changed, feed.gone):
        act(KEYS[0])
        assert feed.revisions.current(key) not in earlier
        earlier.add(feed.revisions.current(key))
    assert Feed(History(), ProgressBoard()).revisions.current(key) not in earlier
