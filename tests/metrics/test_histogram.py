"""TODO."""

import pytest

from spsd.metrics import WINDOW_S, Histogram, Throughput


def test_values_are_counted_up_to_their_bound():
    histogram = Histogram((1, 5))
    for value in (0.5, 1, 1.5, 5, 6):
        histogram.observe(value)
    seen = histogram.observed()
    assert (seen.bounds, seen.counts, seen.sum) == ((1, 5), (2, 2, 1), 14)


def test_a_clock_that_was_set_back_counts_as_nothing():
    histogram = Histogram((1,))
    histogram.observe(-3)
    assert histogram.observed().counts == (1, 0)
    assert histogram.observed().sum == 0


def test_what_was_observed_does_not_change():
    histogram = Histogram((1,))
    before = histogram.observed()
    histogram.observe(0)
    assert before.counts == (0, 0)


def test_the_rate_is_that_of_the_window():
    throughput = Throughput(now=100)
    for second in range(1, 31):
        throughput.count(50, 100 + second)
    assert throughput.rate(130) == pytest.approx(50, rel=0.2)
    assert throughput.rate(130 + WINDOW_S + 1) == 0
    assert throughput.total == 1500


def test_a_young_rate_is_that_of_the_whole_life():
    throughput = Throughput(now=100)
    assert throughput.rate(100) == 0
    throughput.count(100, 100.5)
    assert throughput.rate(100.5) == 200
    assert throughput.rate(102) == 50


def test_ten_seconds_are_lately():
    throughput = Throughput(now=0)
    throughput.count(100, 1)
    assert throughput.rate(11) == 10
    assert throughput.rate(11.01) == 0


def test_what_comes_within_a_quarter_of_a_second_is_kept_as_one():
    throughput = Throughput(now=0)
    for now in (0, 0.249, 0.25, 0.499):
        throughput.count(1, now)
    assert list(throughput._lately) == [(0, 2), (0.25, 2)]


def test_many_small_blocks_take_little_room():
    throughput = Throughput(now=0)
    for count in range(100_000):
        throughput.count(1, count / 1000)
    assert len(throughput._lately) <= 45
    assert throughput.rate(100) == pytest.approx(1000, rel=0.05)
    assert throughput.total == 100_000
