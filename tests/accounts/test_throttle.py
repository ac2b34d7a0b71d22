"""The delay after failed log-ins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.accounts.model import FREE_FAILURES, LONGEST_WAIT_S, MAX_RECORDS, Throttle

NOW = 1_900_000_000


@pytest.fixture
def throttle() -> Throttle:
    return Throttle()


def fail(throttle: Throttle, times: int, *, peer: str = "p", name: str = "n") -> None:
    for _ in range(times):
        throttle.failed(peer, name, now=NOW)


def test_the_first_failures_are_free(throttle: Throttle) -> None:
    for _ in range(FREE_FAILURES):
        assert throttle.wait_s("p", "n", now=NOW) == 0
        throttle.failed("p", "n", now=NOW)
    assert throttle.wait_s("p", "n", now=NOW) == 1


def test_the_limits_have_their_documented_values() -> None:
    assert (FREE_FAILURES, LONGEST_WAIT_S, MAX_RECORDS) == (5, 60, 4096)


def test_the_wait_doubles_up_to_a_minute(throttle: Throttle) -> None:
    fail(throttle, FREE_FAILURES - 1)
    waits = []
    for _ in range(8):
        fail(throttle, 1)
        waits.append(throttle.wait_s("p", "n", now=NOW))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_wait_ends_with_time(throttle: Throttle) -> None:
    fail(throttle, FREE_FAILURES + 2)
    assert throttle.wait_s("p", "n", now=NOW + 3) == 1
    assert throttle.wait_s("p", "n", now=NOW + 4) == 0


def test_the_wait_is_rounded_up_to_whole_seconds(throttle: Throttle) -> None:
    fail(throttle, FREE_FAILURES)
    assert throttle.wait_s("p", "n", now=NOW + 0.5) == 1


def test_success_clears_the_failures(throttle: Throttle) -> None:
    fail(throttle, 20)
    throttle.succeeded("p", "n")
    fail(throttle, FREE_FAILURES - 1)
    assert throttle.wait_s("p", "n", now=NOW) == 0


@pytest.mark.parametrize("other", [("q", "n"), ("p", "m")])
def test_another_peer_or_name_does_not_wait(throttle: Throttle, other: tuple[str, str]) -> None:
    fail(throttle, 20)
    assert throttle.wait_s(*other, now=NOW) == 0


def test_a_clock_that_was_set_back_ends_the_wait(throttle: Throttle) -> None:
    fail(throttle, 20)
    assert throttle.wait_s("p", "n", now=NOW - 86_400) == 0


def test_memory_is_bounded_and_the_oldest_go_first(throttle: Throttle) -> None:
    fail(throttle, 20, name="old")
    fail(throttle, 20, name="kept")
    for number in range(MAX_RECORDS - 1):
        throttle.failed("p", f"n{number}", now=NOW)
    assert throttle.wait_s("p", "old", now=NOW) == 0
    assert throttle.wait_s("p", "kept", now=NOW) == LONGEST_WAIT_S


def test_a_failure_makes_a_record_the_newest(throttle: Throttle) -> None:
    fail(throttle, 20, name="busy")
    for number in range(MAX_RECORDS + 10):
        throttle.failed("p", f"n{number}", now=NOW)
        if number % 1000 == 0:
            fail(throttle, 1, name="busy")
    assert throttle.wait_s("p", "busy", now=NOW) == LONGEST_WAIT_S


@given(failures=st.integers(0, 300), later=st.floats(-1e9, 1e9))
def test_the_wait_is_never_longer_than_a_minute(failures: int, later: float) -> None:
    throttle = Throttle()
    fail(throttle, failures)
    assert 0 <= throttle.wait_s("p", "n", now=NOW + later) <= LONGEST_WAIT_S


def test_failures_wait_longer_and_longer():
    throttle, waits = Throttle(), []
    for _ in range(FREE_FAILURES + 9):
        throttle.failed("peer", "name", now=100.0)
        waits.append(throttle.wait_s("peer", "name", now=100.0))
    assert waits[: FREE_FAILURES - 1] == [0] * (FREE_FAILURES - 1)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    assert throttle.wait_s("peer", "name", now=100.0 + LONGEST_WAIT_S) == 0
    assert throttle.wait_s("other", "name", now=100.0) == 0
    throttle.succeeded("peer", "name")
    assert throttle.wait_s("peer", "name", now=100.0) == 0


def test_the_throttle_forgets_the_oldest():
    throttle = Throttle()
    for peer in range(MAX_RECORDS + 1):
        for _ in range(FREE_FAILURES):
            throttle.failed(str(peer), "name", now=0.0)
    assert throttle.wait_s("0", "name", now=0.0) == 0
    assert throttle.wait_s("1", "name", now=0.0) > 0
