"""The delay of a job's first request: its range, its distribution, its stability."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.jobs.start_spread import StartSpread

DIGESTS = st.binary(max_size=8).map(lambda name: hashlib.sha256(name).hexdigest())
IMAGE = hashlib.sha256(b"image").hexdigest()
OVER = st.just(0.0) | st.floats(0.001, 86_400)
NOW = 1_700_000_000


def delay(appliance: str, digest: str = IMAGE, over_s: float = 1.0) -> float:
    return StartSpread(appliance, over_s).wait_s(digest, submitted_at=NOW, now=NOW)


@given(st.text(), DIGESTS, OVER, st.integers(-(10**6), 10**6))
def test_a_wait_is_within_the_spread_and_the_time_since_the_submission_counts(
    appliance, digest, over_s, passed
):
    spread = StartSpread(appliance, over_s)
    whole = spread.wait_s(digest, submitted_at=NOW, now=NOW)
    left = spread.wait_s(digest, submitted_at=NOW, now=NOW + passed)
    assert 0 <= left <= whole <= over_s
    if over_s > 0:
        assert whole < over_s
    if passed <= 0:
        assert left == whole, "a clock that was set back"
    else:
        assert left == pytest.approx(max(0, whole - passed))


@given(st.text(), DIGESTS)
@example("", IMAGE)
def test_the_same_appliance_and_image_wait_the_same(appliance, digest):
    assert delay(appliance, digest) == delay(appliance, digest)
    assert delay(appliance, digest, 60.0) == pytest.approx(60 * delay(appliance, digest))


def test_a_hundred_appliances_are_spread_evenly():
    delays = sorted(delay(f"appliance-{number}") for number in range(100))
    for tenth in range(10):
        # 10 expected; 100 draws put fewer than 2 or more than 20 into a tenth once in a thousand,
        # and these draws are the same each time.
        assert 2 <= sum(tenth <= 10 * each < tenth + 1 for each in delays) <= 20


def test_another_image_has_another_order():
    other = hashlib.sha256(b"other").hexdigest()
    names = [f"appliance-{number}" for number in range(20)]
    assert sorted(names, key=delay) != sorted(names, key=lambda name: delay(name, other))


def test_the_delay_is_the_same_in_every_version():
    # If a version of spsd changed the delays, a fleet with two versions would have two orders.
    assert delay("appliance-1") == 0.25167671588330265


def test_a_spread_of_nothing_waits_for_nothing():
    assert delay("appliance-1", over_s=0.0) == 0
