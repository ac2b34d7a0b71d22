"""The deadline of a feed that is too slow."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.transfer.rules.stall import RateMonitor

WINDOW = 10.0
MINIMUM = 1024


def watch(now=100.0):
    return RateMonitor(minimum_bytes_per_s=MINIMUM, window_s=WINDOW, now=now)


def too_slow_at(steps, limit_s=1000.0):
    """The time at which a feed of (pause, size) is too slow; None if not before ``limit_s``."""
    monitor, now = watch(0.0), 0.0
    for pause, size in steps:
        now += pause
        if now > monitor.deadline:
            return monitor.deadline
        if now > limit_s:
            return None
        monitor.count(size, now)
    return None


def test_silence_ends_after_one_window():
    assert watch(100.0).deadline == 110.0


def test_a_drip_feed_ends_after_about_one_window():
    ended = too_slow_at(itertools.repeat((0.2, 1)))
    assert ended is not None
    assert WINDOW <= ended <= WINDOW * 1.1


def test_an_honest_feed_never_ends():
    assert too_slow_at(itertools.repeat((0.02, 1000))) is None


@pytest.mark.parametrize("factor", [0.5, 0.9])
def test_a_bit_too_slow_is_too_slow(factor):
    ended = too_slow_at(itertools.repeat((0.1, int(MINIMUM * 0.1 * factor))))
    assert ended is not None
    assert ended <= 2 * WINDOW / (1 - factor)


def test_a_bit_faster_is_fast_enough():
    assert too_slow_at(itertools.repeat((0.1, int(MINIMUM * 0.1 * 1.1)))) is None


def test_one_burst_counts_for_one_window_only():
    monitor = watch(0.0)
    monitor.count(10**9, 3.0)
    assert monitor.deadline == pytest.approx(13.0)


def test_our_own_time_is_excused():
    monitor = watch(0.0)
    monitor.count(1, 1.0)
    before = monitor.deadline
    monitor.exclude_time(7.5)
    assert monitor.deadline == before + 7.5


def test_no_minimum_still_wants_a_byte():
    monitor = RateMonitor(minimum_bytes_per_s=0, window_s=WINDOW, now=0.0)
    monitor.count(1, 4.0)
    assert monitor.deadline == 14.0


def test_bytes_within_a_64th_of_the_window_count_as_one():
    """Memory is bounded, however small the pieces are; the credit is no such piece."""
    needed, window = 6400, 64.0

    def deadline(*came):
        monitor = RateMonitor(minimum_bytes_per_s=100, window_s=window, now=100.0)
        for size, now in came:
            monitor.count(size, now)
        return monitor.deadline - window

    assert deadline((needed, 100.5)) == 100.5
    half = needed // 2
    assert deadline((half, 100.5), (half, 100.6), (half, 110)) == 100.5
    assert deadline((half, 100.5), (half, 101.49), (half, 110)) == 100.5
    assert deadline((half, 100.5), (half, 101.5), (half, 110)) == 101.5


def test_bytes_count_after_an_excuse_too():
    monitor = watch(0.0)
    monitor.exclude_time(7.5)
    monitor.count(MINIMUM * 10, 8.0)
    assert monitor.deadline == 8.0 + WINDOW


FEED = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50_000)), max_size=60)


@given(FEED)
def test_the_deadline_never_moves_back_nor_past_a_window_from_now(feed):
    monitor, now, before = watch(0.0), 0.0, WINDOW
    for pause, size in feed:
        now += pause
        monitor.count(size, now)
        assert before <= monitor.deadline <= now + WINDOW
        assert monitor.deadline >= WINDOW
        before = monitor.deadline


@given(FEED)
def test_a_feed_that_was_fast_enough_in_the_last_window_continues(feed):
    monitor, now, came = watch(0.0), 0.0, []
    for pause, size in feed:
        now += pause
        monitor.count(size, now)
        came.append((now, size))
    # Bytes of one bucket count from its first: the verdict may be early by that much.
    slack = WINDOW / 64
    recent = sum(size for at, size in came if at > now - WINDOW + slack)
    if recent >= MINIMUM * WINDOW:
        assert monitor.deadline >= now
