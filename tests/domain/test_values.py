"""Source URLs, digests, image facts, slots, and the throttle of log-ins."""

from spsd.domain.throttle import FREE_FAILURES, KEYS_KEPT, LONGEST_WAIT_S, Throttle


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
    for peer in range(KEYS_KEPT + 1):
        for _ in range(FREE_FAILURES):
            throttle.failed(str(peer), "name", now=0.0)
    assert throttle.wait_s("0", "name", now=0.0) == 0
    assert throttle.wait_s("1", "name", now=0.0) > 0
