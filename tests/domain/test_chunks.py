"""Chunks and lanes, whatever the lanes do: every byte once, in order, within the memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.domain.chunks import ALONE, SETUP_S, Chunk, Schedule, Splitting, proves
from spsd.domain.exchange import Kept, Reply

FOUR = Splitting(connections=4, least=10, most=100, memory=200)


@pytest.mark.parametrize(
    ("rest", "rate", "pays"),
    [(20, 10, True), (19, 1, False), (1000, 500, True), (1000, 501, False), (0, 0, False)],
)
def test_when_it_pays(rest: int, rate: float, pays: bool) -> None:
    assert FOUR.pays(rest, rate) is pays
    assert not ALONE.pays(rest, rate)


@pytest.mark.parametrize(
    ("jobs", "rate", "pays"),
    [
        (1, 500, True),
        (2, 250, True),
        (2, 251, False),  # both together are as fast as one that needs no help
        (5, 1, True),  # 40 of memory for each: four chunks of the least size
        (6, 1, False),
    ],
)
def test_several_downloads_share_the_line_and_the_memory(
    jobs: int, rate: float, pays: bool
) -> None:
    assert FOUR.among(jobs).pays(1000, rate) is pays
    assert ALONE.among(jobs) is ALONE


@pytest.mark.parametrize(("jobs", "size"), [(1, 50), (2, 25), (5, 10)])
def test_chunks_of_several_downloads_fit_the_memory(jobs: int, size: int) -> None:
    assert FOUR.among(jobs).chunk(10_000, 1000.0) == size


@pytest.mark.parametrize(
    ("rest", "rate", "size"),
    [
        (10_000, 1.0, 10),  # slow: little is lost by a crash
        (10_000, 10.0, 40),
        (10_000, 1000.0, 50),  # a quarter of the memory
        (80, 1000.0, 20),  # a share for everybody
        (3, 1000.0, 1),
    ],
)
def test_how_long_a_chunk_is(rest: int, rate: float, size: int) -> None:
    assert FOUR.chunk(rest, rate) == size


@pytest.mark.parametrize(
    ("status", "ranges", "etag", "proven"),
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
    status: int, ranges: str | None, etag: str | None, proven: bool
) -> None:
    headers = {} if ranges is None else {"accept-ranges": ranges}
    assert proves(Reply(status, headers), Kept(10, 100, etag)) is proven


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
        chunk.came(min(size, len(chunk.room) + 3))
        assert 0 <= chunk.left <= missing

    def ends(self, lane: int) -> None:
        chunk, before = self.busy.pop(lane)
        self.schedule.released(chunk, self.now)
        if chunk.filled > before:
            self.idle.add(lane)
        else:
            self.schedule.lost(lane)

    def append(self) -> None:
        while (head := self.schedule.head) is not None and not head.left:
            assert head.first == self.appended
            self.appended = head.end
            self.schedule.appended()

    def check(self) -> None:
        chunks = list(self.schedule._chunks)
        assert [one.first for one in chunks[1:]] == [one.end for one in chunks[:-1]]
        if chunks:
            assert chunks[0].first == self.appended
            assert chunks[-1].end <= self.total
        assert self.appended <= self.schedule.reached <= self.total
        # What a split adds was the room of the chunk that it was cut from.
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
    assert run.schedule.over or run.schedule.stuck
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
    slow.came(1)
    quick.came(50)
    schedule.released(quick, 1.0)
    rest = schedule.take(1, 2.0)
    assert rest is not None
    assert (rest.first, rest.end, slow.end, slow.left) == (1, 50, 1, 0)
    slow.came(30)  # what was under way to the slow one is not needed any more
    assert (slow.filled, slow.left, rest.filled) == (1, 0, 0)
    rest.came(49)
    assert schedule.reached == 100


def test_one_that_sends_nothing_is_slow() -> None:
    schedule, _, quick = scheduled()
    quick.came(50)
    schedule.released(quick, 1.0)
    assert schedule.take(1, SETUP_S / 2) is None
    rest = schedule.take(1, 2.0)
    assert rest is not None
    assert rest.first == 0


def test_one_that_is_nearly_done_is_left_alone() -> None:
    schedule, slow, quick = scheduled()
    slow.came(45)
    quick.came(50)
    schedule.released(quick, 1.0)
    assert schedule.take(1, 2.0) is None


def test_a_lone_lane_fills_the_gaps_and_begins_nothing() -> None:
    schedule, first, second = scheduled(total=1000)
    schedule.released(first, 1.0)
    schedule.lost(0)
    second.came(50)
    schedule.released(second, 1.0)
    assert schedule.take(1, 1.0) is first
    first.came(50)
    schedule.released(first, 2.0)
    schedule.appended()
    schedule.appended()
    assert schedule.take(1, 2.0) is None
    assert schedule.over
    assert schedule.reached == 100


def test_the_first_chunk_is_longer_by_what_comes_until_the_others_are_there() -> None:
    schedule = Schedule(Splitting(connections=2), 10, 200, 50, ahead=20)
    spans = [(one.first, one.end) for lane in (0, 1) if (one := schedule.take(lane, 0.0))]
    assert spans == [(10, 80), (80, 130)]
