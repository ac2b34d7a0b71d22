"""Chunks and lanes, whatever the lanes do: every byte once, in order, within the memory."""

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
def test_when_it_pays(rest: int, rate: float, is_worthwhile: bool) -> None:
    assert FOUR.is_worthwhile(rest, rate) is is_worthwhile
    assert not ONE_CONNECTION.is_worthwhile(rest, rate)


@pytest.mark.parametrize(
    ("jobs", "rate", "is_worthwhile"),
    [
        (1, 500, True),
        (2, 250, True),
        (2, 251, False),  # both together are as fast as one that needs no help
        (5, 1, True),  # 40 of memory for each: four chunks of the least size
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
        (10_000, 1.0, 10),  # slow: little is lost by a crash
        (10_000, 10.0, 40),
        (10_000, 1000.0, 50),  # a quarter of the memory
        (80, 1000.0, 20),  # a share for everybody
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
def test_what_proves_ranges(
    status: int, ranges: str | None, etag: str | None, splits: bool
) -> None:
    headers = {} if ranges is None else {"accept-ranges": ranges}
    assert can_split(ResponseHead(status, headers), Prefix(10, 100, etag)) is splits


def test_the_rate_is_that_of_the_second_read_and_asked_once() -> None:
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


def test_what_decision_21_tells() -> None:
    mib = 2**20
    told = Splitting(1, mib // 4, 2.0, 100e6, 4.0, mib, 16 * mib, 64 * mib)
    assert told == Splitting() == ONE_CONNECTION
    assert SETUP_S == 0.5
    assert mib == MIB


class Run:
    """Lanes as they come and go over an object of ``total`` bytes, of which 7 are here."""

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

    def comes(self, lane: int, size: int) -> None:
        chunk, _ = self.busy[lane]
        missing = chunk.left
        chunk.received(min(size, len(chunk.buffer) + 3))
        assert 0 <= chunk.left <= missing

    def ends(self, lane: int) -> None:
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
        assert [one.first for one in chunks[1:]] == [one.end for one in chunks[:-1]]
        if chunks:
            assert chunks[0].first == self.appended
            assert chunks[-1].end <= self.total
        assert self.appended <= self.schedule.bytes_present <= self.total
        # What a split adds was the buffer of the chunk that it was cut from.
        assert sum(one.end - one.first for one in chunks) <= (
            self.splitting.connections * self.size + self.ahead
        )


@given(
    st.data(),
    st.integers(8, 400),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(0, 60),
)
def test_whatever_lanes_do(
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
                run.comes(lane, data.draw(st.integers(0, 80)))
            else:
                run.ends(lane)
        run.append()
        run.check()
    # Whoever is left does well from now on.
    for _ in range(2 * total):
        run.now += 1.0
        for lane in list(run.idle):
            run.take(lane)
        for lane in list(run.busy):
            run.comes(lane, 1000)
            run.ends(lane)
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
    slow.received(30)  # what was under way to the slow one is not needed any more
    assert (slow.filled, slow.left, rest.filled) == (1, 0, 0)
    rest.received(49)
    assert schedule.bytes_present == 100


def test_one_that_sends_nothing_is_slow() -> None:
    schedule, _, quick = scheduled()
    quick.received(50)
    schedule.release(quick, 1.0)
    assert schedule.take(1, SETUP_S / 2) is None
    rest = schedule.take(1, 2.0)
    assert rest is not None
    assert rest.first == 0


def test_where_answers_take_long_to_begin_none_is_slow_for_that() -> None:
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
    ("got", "left", "reopens"),
    [
        (0, True, False),
        (9, True, False),  # cut after a crumb
        (10, True, True),
        (1, False, True),  # whole, however short it was
        (0, False, False),  # another was faster, and it brought nothing
    ],
)
def test_which_lane_goes_on(got: int, left: bool, reopens: bool) -> None:
    schedule = Schedule(Splitting(connections=2, sample=10), 0, 100, 50)
    chunk = Chunk(0, 50, filled=49 if left else 50)
    assert schedule.should_reopen(chunk, got) is reopens


def test_one_that_is_nearly_done_is_left_alone() -> None:
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


def test_the_first_chunk_is_longer_by_what_comes_until_the_others_are_there() -> None:
    schedule = Schedule(Splitting(connections=2), 10, 200, 50, ahead=20)
    spans = [(one.first, one.end) for lane in (0, 1) if (one := schedule.take(lane, 0.0))]
    assert spans == [(10, 80), (80, 130)]


@given(
    st.integers(1, 8),
    st.integers(2, 16),
    st.integers(2 * MIB, 10_000 * MIB),
    st.floats(1.0, 1e9),
    st.floats(0.0, 30.0),
)
def test_all_that_is_under_way_fits_the_memory(
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


def test_what_is_appended_takes_no_memory_whoever_still_holds_it() -> None:
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
    found = Splitting(4, min_chunk=10, max_chunk=100, memory=memory).chunk(rest, 1000.0)
    assert (found, type(found)) == (size, int)


def test_what_a_chunk_tells() -> None:
    chunk = Chunk(5, 9)
    assert (chunk.position, chunk.left, len(chunk.memory), chunk.lane) == (5, 4, 4, None)
    assert chunk.seconds_left(2.0) == float("inf")
    chunk.received(1)
    assert (chunk.position, chunk.left, len(chunk.buffer)) == (6, 3, 3)
    assert chunk.seconds_left(2.0) == 6.0
    chunk.received(100)
    assert (chunk.position, chunk.left, len(chunk.buffer)) == (9, 0, 0)


def test_how_long_it_lasts_is_reckoned_from_what_its_lane_has_done() -> None:
    chunk = Chunk(0, 13, filled=3, lane=1, since=1.0, filled_before=1)
    assert chunk.seconds_left(3.0) == 10.0


def test_a_lane_begins_with_what_is_there() -> None:
    schedule, first, _ = scheduled(total=1000)
    first.received(20)
    schedule.release(first, 1.0)
    again = schedule.take(0, 7.0)
    assert again is first
    assert (again.lane, again.since, again.filled_before) == (0, 7.0, 20)


def test_when_it_is_over() -> None:
    schedule = Schedule(Splitting(connections=2), 0, 100, 100)
    assert not schedule.is_done, "nothing is begun, and two may"
    schedule.lane_lost(0)
    assert schedule.is_done, "one alone begins nothing"
    schedule = Schedule(Splitting(connections=2), 0, 100, 100)
    whole = schedule.take(0, 0.0)
    assert whole is not None
    assert not schedule.is_done
    schedule.lane_lost(1)
    assert not schedule.is_done, "what was begun is not appended"
    whole.received(100)
    schedule.head_appended()
    assert schedule.is_done
    assert not schedule.has_no_lanes
    schedule.lane_lost(0)
    assert schedule.has_no_lanes


def raced(
    quick_bytes: int, quick_s: float, *, filled_before: int = 0, setup_s: float = 0.0
) -> tuple[Schedule, Chunk]:
    """At 20.0 a chunk that lasts 40 s more, and lane 1, which has brought so much in its time."""
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
    # All of it is here, as far as the lane is concerned.
    quick.end = quick.position
    schedule._next = 1000
    slow.received(100)
    return schedule, slow


@pytest.mark.parametrize(
    ("quick_bytes", "quick_s", "filled_before", "takes"),
    [
        # 400 bytes are left, for 40 s: it takes a rate above 20.5 to need half of that at most.
        (100, 5.0, 0, False),
        (100, 4.5, 0, True),
        (205, 10.0, 0, False),
        (206, 10.0, 0, True),
        (100, 5.0, 300, False),
        (100, 4.5, 300, True),
    ],
)
def test_who_is_twice_as_fast_takes_over(
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
    """Four seconds to begin, and sixteen for 400 bytes, where it lasts forty."""
    schedule, slow = raced(250, 10.0, setup_s=2.0)
    assert slow.seconds_left(20.0) == 40.0
    assert schedule.take(1, 20.0) is not None


def test_before_anything_has_come_nobody_is_known_to_be_faster() -> None:
    schedule = Schedule(Splitting(connections=2), 0, 50, 50)
    assert schedule.take(0, 0.0) is not None
    assert schedule.take(1, 1000.0) is None


def test_a_lane_that_has_brought_nothing_is_taken_for_as_fast_as_the_fastest() -> None:
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


def test_what_has_just_begun_is_not_slow_yet() -> None:
    schedule, slow = raced(5000, 10.0)
    slow.since = 20.0 - SETUP_S + 0.01
    slow.filled_before = slow.filled
    assert schedule.take(1, 20.0) is None
    assert schedule.take(1, slow.since + SETUP_S) is not None
