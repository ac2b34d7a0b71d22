"""Chunks and lanes: every byte once, in order, within the memory, for any behaviour of lanes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.transfer.rules.chunks import (
    MIB,
    ONE_CONNECTION,
    SETUP_S,
    Chunk,
    Sample,
    Schedule,
    Splitting,
    can_split,
)
from spsd.transfer.rules.messages import Prefix, ResponseHead

FOUR = Splitting(connections=4, min_chunk=10, max_chunk=100, memory=200)


@pytest.mark.parametrize(
    ("rest", "rate", "is_worthwhile"),
    [(20, 10, True), (19, 1, False), (1000, 500, True), (1000, 501, False), (0, 0, False)],
)
def test_when_several_connections_are_worthwhile(
    rest: int, rate: float, is_worthwhile: bool
) -> None:
    assert FOUR.is_worthwhile(rest, rate) is is_worthwhile
    assert not ONE_CONNECTION.is_worthwhile(rest, rate)


@pytest.mark.parametrize(
    ("jobs", "rate", "is_worthwhile"),
    [
        (1, 500, True),
        (2, 250, True),
        (2, 251, False),  # both together are as fast as a line that needs one connection only
        (5, 1, True),  # 40 bytes of memory for each: four chunks of the minimum size
        (6, 1, False),
    ],
)
def test_several_downloads_share_the_line_and_the_memory(
    jobs: int, rate: float, is_worthwhile: bool
) -> None:
    assert FOUR.shared_by(jobs).is_worthwhile(1000, rate) is is_worthwhile
    assert ONE_CONNECTION.shared_by(jobs) is ONE_CONNECTION


@pytest.mark.parametrize(("jobs", "size"), [(1, 50), (2, 25), (5, 10)])
def test_chunks_of_several_downloads_fit_the_memory(jobs: int, size: int) -> None:
    assert FOUR.shared_by(jobs).chunk(10_000, 1000.0) == size


@pytest.mark.parametrize(
    ("rest", "rate", "size"),
    [
        (10_000, 1.0, 10),  # slow: a crash costs little
        (10_000, 10.0, 40),
        (10_000, 1000.0, 50),  # a quarter of the memory
        (80, 1000.0, 20),  # an equal share for each lane
        (3, 1000.0, 10),
        (-5000, 1000.0, 10),  # a long round trip, and little to fetch
    ],
)
def test_how_long_a_chunk_is(rest: int, rate: float, size: int) -> None:
    assert FOUR.chunk(rest, rate) == size


@pytest.mark.parametrize(
    ("status", "ranges", "etag", "splits"),
    [
        (206, None, '"a"', True),
        (200, "bytes", '"a"', True),
        (200, "none", '"a"', False),
        (200, None, '"a"', False),
        (206, None, 'W/"a"', False),
        (206, None, None, False),
    ],
)
def test_which_heads_permit_splitting(
    status: int, ranges: str | None, etag: str | None, splits: bool
) -> None:
    headers = {} if ranges is None else {"accept-ranges": ranges}
    assert can_split(ResponseHead(status, headers), Prefix(10, 100, etag)) is splits


def test_the_rate_is_that_of_the_second_read_and_returned_once() -> None:
    sample, buffer = Sample(FOUR), memoryview(bytearray(2**20))
    assert len(sample.limited(buffer)) == FOUR.sample
    assert sample.rate(1000, 5.0) is None
    assert len(sample.limited(buffer)) == FOUR.sample
    assert sample.rate(1500, 7.0) == 250.0
    assert len(sample.limited(buffer)) == len(buffer)
    assert sample.rate(9000, 9.0) is None


def test_two_reads_at_one_moment_are_fast() -> None:
    sample = Sample(FOUR)
    sample.rate(0, 5.0)
    assert sample.rate(1, 5.0) == 1e6


def test_two_connections_are_several() -> None:
    two = Splitting(2)
    assert two.shared_by(3).jobs == 3
    buffer = memoryview(bytearray(2**20))
    assert len(Sample(two).limited(buffer)) == two.sample


def test_one_connection_takes_no_sample() -> None:
    sample, buffer = Sample(ONE_CONNECTION), memoryview(bytearray(2**20))
    assert len(sample.limited(buffer)) == len(buffer)
    assert [sample.rate(n, float(n)) for n in range(3)] == [None] * 3


def test_the_defaults_are_those_of_decision_21() -> None:
    mib = 2**20
    documented = Splitting(1, mib // 4, 2.0, 100e6, 4.0, mib, 16 * mib, 64 * mib)
    assert documented == Splitting() == ONE_CONNECTION
    assert SETUP_S == 0.5
    assert mib == MIB


class Run:
    """Lanes that fetch an object of ``total`` bytes, of which 7 are on disk."""

    def __init__(self, total: int, lanes: int, size: int, ahead: int) -> None:
        self.splitting = Splitting(connections=lanes)
        self.size, self.ahead = size, ahead
        self.schedule = Schedule(self.splitting, 7, total, size, ahead=ahead)
        self.total, self.appended, self.now = total, 7, 0.0
        self.idle = set(range(lanes))
        self.busy: dict[int, tuple[Chunk, int]] = {}
        self.splits = 0

    def take(self, lane: int) -> None:
        before = len(self.schedule._chunks)
        others = {id(chunk): chunk.left for chunk, _ in self.busy.values()}
        chunk = self.schedule.take(lane, self.now)
        if chunk is None:
            return
        assert chunk.left > 0
        assert others.get(id(chunk), 0) == 0, "two lanes in one chunk"
        self.splits += len(self.schedule._chunks) > before and chunk.lane == lane
        self.idle.remove(lane)
        self.busy[lane] = (chunk, chunk.filled)

    def receive(self, lane: int, size: int) -> None:
        chunk, _ = self.busy[lane]
        missing = chunk.left
        chunk.received(min(size, len(chunk.buffer) + 3))
        assert 0 <= chunk.left <= missing

    def end(self, lane: int) -> None:
        chunk, before = self.busy.pop(lane)
        self.schedule.release(chunk, self.now)
        if chunk.filled > before:
            self.idle.add(lane)
        else:
            self.schedule.lane_lost(lane)

    def append(self) -> None:
        while (head := self.schedule.head) is not None and not head.left:
            assert head.first == self.appended
            self.appended = head.end
            self.schedule.head_appended()

    def check(self) -> None:
        chunks = list(self.schedule._chunks)
        assert [chunk.first for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]
        if chunks:
            assert chunks[0].first == self.appended
            assert chunks[-1].end <= self.total
        assert self.appended <= self.schedule.bytes_present <= self.total
        # What a split adds was part of the chunk that was divided.
        assert sum(chunk.end - chunk.first for chunk in chunks) <= (
            self.splitting.connections * self.size + self.ahead
        )


@given(
    st.data(),
    st.integers(8, 400),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(0, 60),
)
def test_every_byte_comes_once_and_in_order_for_any_behaviour_of_the_lanes(
    data: st.DataObject, total: int, lanes: int, size: int, ahead: int
) -> None:
    run = Run(total, lanes, size, min(ahead, size))
    for _ in range(60):
        run.now += data.draw(st.sampled_from([0.0, 0.1, 5.0]))
        lane = data.draw(st.integers(0, lanes - 1))
        if lane in run.idle:
            run.take(lane)
        elif lane in run.busy:
            if data.draw(st.booleans()):
                run.receive(lane, data.draw(st.integers(0, 80)))
            else:
                run.end(lane)
        run.append()
        run.check()
    # The lanes that are left work from now on.
    for _ in range(2 * total):
        run.now += 1.0
        for lane in list(run.idle):
            run.take(lane)
        for lane in list(run.busy):
            run.receive(lane, 1000)
            run.end(lane)
        run.append()
        run.check()
    assert run.schedule.is_done or run.schedule.has_no_lanes
    if run.schedule.lanes > 1:
        assert run.appended == total


def scheduled(total: int = 100, size: int = 50) -> tuple[Schedule, Chunk, Chunk]:
    """Two lanes, each with its chunk since 0.0."""
    schedule = Schedule(Splitting(connections=2), 0, total, size)
    first, second = schedule.take(0, 0.0), schedule.take(1, 0.0)
    assert first is not None
    assert second is not None
    return schedule, first, second


def test_the_rest_of_a_slow_chunk_goes_to_a_fast_lane() -> None:
    schedule, slow, quick = scheduled()
    slow.received(1)
    quick.received(50)
    schedule.release(quick, 1.0)
    rest = schedule.take(1, 2.0)
    assert rest is not None
    assert (rest.first, rest.end, slow.end, slow.left) == (1, 50, 1, 0)
    slow.received(30)  # bytes beyond the new end are ignored
    assert (slow.filled, slow.left, rest.filled) == (1, 0, 0)
    rest.received(49)
    assert schedule.bytes_present == 100


def test_a_lane_that_receives_nothing_is_slow() -> None:
    schedule, _, quick = scheduled()
    quick.received(50)
    schedule.release(quick, 1.0)
    assert schedule.take(1, SETUP_S / 2) is None
    rest = schedule.take(1, 2.0)
    assert rest is not None
    assert rest.first == 0


def test_a_slow_start_of_all_responses_makes_no_lane_slow() -> None:
    schedule = Schedule(Splitting(connections=2), 0, 100, 50, setup_s=2.0)
    slow, quick = schedule.take(0, 0.0), schedule.take(1, 0.0)
    assert slow is not None
    assert quick is not None
    quick.received(50)
    schedule.release(quick, 2.5)
    assert schedule.take(1, 3.99) is None
    rest = schedule.take(1, 4.0)
    assert rest is not None
    assert rest.first == 0


@pytest.mark.parametrize(
    ("received", "left", "reopens"),
    [
        (0, True, False),
        (9, True, False),  # broken off after a few bytes
        (10, True, True),
        (1, False, True),  # complete, however short it was
        (0, False, False),  # another lane was faster, and this one received nothing
    ],
)
def test_which_lane_is_opened_again(received: int, left: bool, reopens: bool) -> None:
    schedule = Schedule(Splitting(connections=2, sample=10), 0, 100, 50)
    chunk = Chunk(0, 50, filled=49 if left else 50)
    assert schedule.should_reopen(chunk, received) is reopens


def test_a_chunk_that_is_nearly_complete_is_not_split() -> None:
    schedule, slow, quick = scheduled()
    slow.received(45)
    quick.received(50)
    schedule.release(quick, 1.0)
    assert schedule.take(1, 2.0) is None


def test_a_lone_lane_fills_the_gaps_and_begins_nothing() -> None:
    schedule, first, second = scheduled(total=1000)
    schedule.release(first, 1.0)
    schedule.lane_lost(0)
    second.received(50)
    schedule.release(second, 1.0)
    assert schedule.take(1, 1.0) is first
    first.received(50)
    schedule.release(first, 2.0)
    schedule.head_appended()
    schedule.head_appended()
    assert schedule.take(1, 2.0) is None
    assert schedule.is_done
    assert schedule.bytes_present == 100


def test_the_first_chunk_is_longer_by_the_bytes_ahead() -> None:
    schedule = Schedule(Splitting(connections=2), 10, 200, 50, ahead=20)
    spans = [(chunk.first, chunk.end) for lane in (0, 1) if (chunk := schedule.take(lane, 0.0))]
    assert spans == [(10, 80), (80, 130)]


@given(
    st.integers(1, 8),
    st.integers(2, 16),
    st.integers(2 * MIB, 10_000 * MIB),
    st.floats(1.0, 1e9),
    st.floats(0.0, 30.0),
)
def test_all_chunks_being_fetched_fit_the_memory(
    jobs: int, connections: int, rest: int, rate: float, setup_s: float
) -> None:
    splitting = Splitting(connections).shared_by(jobs)
    size = max(1, splitting.chunk(rest, rate))
    schedule = Schedule(splitting, 0, rest, size, ahead=int(rate * setup_s))
    lanes = range(connections)
    lengths = [chunk.left for lane in lanes if (chunk := schedule.take(lane, 0.0))]
    assert sum(lengths) <= splitting.memory // jobs


def test_a_fast_line_needs_one_connection() -> None:
    assert Splitting(2).is_worthwhile(10**12, 100e6 - 1)
    assert not Splitting(2).is_worthwhile(10**12, 100e6)


def test_one_connection_splits_nothing_however_slow_it_is() -> None:
    assert not Splitting(1, min_chunk=10).is_worthwhile(1000, 1)
    assert Splitting(2, min_chunk=10).is_worthwhile(1000, 1)


def test_an_appended_chunk_uses_no_memory_even_with_a_view_of_it() -> None:
    schedule = Schedule(Splitting(4), 0, 8 * 2**20, 2**20)
    chunk = schedule.take(0, 0.0)
    assert chunk is not None
    buffer = chunk.buffer
    buffer[:] = b"x" * len(buffer)
    chunk.received(len(buffer))
    schedule.head_appended()
    # Pages that the kernel has taken back are zero when they are looked at again.
    assert bytes(buffer) == bytes(len(buffer))


@pytest.mark.parametrize(("rest", "memory", "size"), [(81, 200, 21), (10_000, 203, 50)])
def test_a_share_is_rounded_up_and_the_memory_down(rest: int, memory: int, size: int) -> None:
    length = Splitting(4, min_chunk=10, max_chunk=100, memory=memory).chunk(rest, 1000.0)
    assert (length, type(length)) == (size, int)


def test_the_values_of_a_chunk() -> None:
    chunk = Chunk(5, 9)
    assert (chunk.position, chunk.left, len(chunk.memory), chunk.lane) == (5, 4, 4, None)
    assert chunk.seconds_left(2.0) == float("inf")
    chunk.received(1)
    assert (chunk.position, chunk.left, len(chunk.buffer)) == (6, 3, 3)
    assert chunk.seconds_left(2.0) == 6.0
    chunk.received(100)
    assert (chunk.position, chunk.left, len(chunk.buffer)) == (9, 0, 0)


def test_the_remaining_time_is_estimated_from_the_lanes_own_bytes() -> None:
    chunk = Chunk(0, 13, filled=3, lane=1, since=1.0, filled_before=1)
    assert chunk.seconds_left(3.0) == 10.0


def test_a_lane_continues_a_chunk_after_its_filled_bytes() -> None:
    schedule, first, _ = scheduled(total=1000)
    first.received(20)
    schedule.release(first, 1.0)
    again = schedule.take(0, 7.0)
    assert again is first
    assert (again.lane, again.since, again.filled_before) == (0, 7.0, 20)


def test_when_a_schedule_is_done() -> None:
    schedule = Schedule(Splitting(connections=2), 0, 100, 100)
    assert not schedule.is_done, "nothing is begun, and two lanes may begin"
    schedule.lane_lost(0)
    assert schedule.is_done, "a single lane begins no chunk"
    schedule = Schedule(Splitting(connections=2), 0, 100, 100)
    whole = schedule.take(0, 0.0)
    assert whole is not None
    assert not schedule.is_done
    schedule.lane_lost(1)
    assert not schedule.is_done, "the begun chunk is not appended"
    whole.received(100)
    schedule.head_appended()
    assert schedule.is_done
    assert not schedule.has_no_lanes
    schedule.lane_lost(0)
    assert schedule.has_no_lanes


def raced(
    quick_bytes: int, quick_s: float, *, filled_before: int = 0, setup_s: float = 0.0
) -> tuple[Schedule, Chunk]:
    """At 20.0 a chunk that needs 40 s more, and lane 1, which has received ``quick_bytes``."""
    schedule = Schedule(Splitting(connections=2), 0, 1000, 500, setup_s=setup_s)
    slow, quick = schedule.take(0, 10.0), schedule.take(1, 0.0)
    assert slow is not None
    assert quick is not None
    if filled_before:
        quick.received(filled_before)
        schedule.release(quick, 0.0)
        assert schedule.take(1, 20.0 - quick_s) is quick
    quick.since = 20.0 - quick_s
    quick.received(quick_bytes)
    schedule.release(quick, 20.0)
    # The lane's own chunk counts as complete.
    quick.end = quick.position
    schedule._next = 1000
    slow.received(100)
    return schedule, slow


@pytest.mark.parametrize(
    ("quick_bytes", "quick_s", "filled_before", "takes"),
    [
        # 400 bytes are left, for 40 s: half of that time needs a rate above 20.5.
        (100, 5.0, 0, False),
        (100, 4.5, 0, True),
        (205, 10.0, 0, False),
        (206, 10.0, 0, True),
        (100, 5.0, 300, False),
        (100, 4.5, 300, True),
    ],
)
def test_a_lane_that_is_twice_as_fast_takes_over(
    quick_bytes: int, quick_s: float, filled_before: int, *, takes: bool
) -> None:
    schedule, slow = raced(quick_bytes, quick_s, filled_before=filled_before)
    assert slow.seconds_left(20.0) == 40.0
    rest = schedule.take(1, 20.0)
    assert (rest is not None) is takes
    if rest is not None:
        assert (rest.first, rest.end, rest.lane) == (100, 500, 1)
        assert slow.end == 100


def test_twice_as_fast_is_enough() -> None:
    """Four seconds to begin and sixteen for 400 bytes, against forty of the slow lane."""
    schedule, slow = raced(250, 10.0, setup_s=2.0)
    assert slow.seconds_left(20.0) == 40.0
    assert schedule.take(1, 20.0) is not None


def test_before_the_first_bytes_no_lane_counts_as_faster() -> None:
    schedule = Schedule(Splitting(connections=2), 0, 50, 50)
    assert schedule.take(0, 0.0) is not None
    assert schedule.take(1, 1000.0) is None


def test_a_lane_without_bytes_counts_as_fast_as_the_fastest() -> None:
    schedule, _ = raced(206, 10.0)
    assert schedule.take(7, 20.0) is not None


def test_the_rate_of_a_lane_that_is_lost_counts_no_more() -> None:
    schedule, _ = raced(206, 10.0)
    schedule.lane_lost(1)
    assert schedule.take(7, 20.0) is None


def test_its_own_rate_counts_first() -> None:
    schedule, _ = raced(206, 10.0)
    schedule._rates[7] = 1.0
    assert schedule.take(7, 20.0) is None


def test_a_chunk_that_has_just_begun_is_not_slow() -> None:
    schedule, slow = raced(5000, 10.0)
    slow.since = 20.0 - SETUP_S + 0.01
    slow.filled_before = slow.filled
    assert schedule.take(1, 20.0) is None
    assert schedule.take(1, slow.since + SETUP_S) is not None
