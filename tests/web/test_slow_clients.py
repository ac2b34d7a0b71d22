"""How long a client may dawdle, and who makes room."""

import pytest

from spsd.web.middleware.slow_clients import (
    ClientTimeouts,
    ConnectionActivity,
    EvictionOrder,
    SlowClient,
    slow_client,
)

LIMITS = ClientTimeouts(idle_s=100, head_s=10, read_s=30)


def activity(**changes: object) -> ConnectionActivity:
    usual = {
        "answering": False,
        "quiet_since": 0.0,
        "head_since": None,
        "unread_since": None,
    }
    return ConnectionActivity(**(usual | changes))


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (activity(), 99.9, None),
        (activity(), 100, SlowClient.IDLE),
        (activity(quiet_since=50.0), 149, None),
        (activity(head_since=5.0), 14.9, None),
        (activity(head_since=5.0), 15, SlowClient.SLOW_HEAD),
        (activity(answering=True), 10_000, None),
        (activity(answering=True, unread_since=10.0), 39.9, None),
        (activity(answering=True, unread_since=10.0), 40, SlowClient.NOT_READING),
        (activity(unread_since=10.0), 40, SlowClient.NOT_READING),
    ],
)
def test_each_limit_is_reached_when_it_is(
    seen: ConnectionActivity, now: float, expected: SlowClient | None
) -> None:
    assert slow_client(seen, LIMITS, now=now) is expected


def test_the_quietest_go_first_and_those_with_an_answer_last() -> None:
    order: EvictionOrder[str] = EvictionOrder()
    for one in ("answered first", "busy", "never asked", "answered last", "new"):
        order.opened(one)
    for one in ("answered first", "busy", "answered last"):
        order.busy(one)
    for one in ("answered first", "answered last"):
        order.idle(one)
    gone = []
    while (leaves := order.next_to_evict()) is not None:
        gone.append(leaves)
        order.closed(leaves)
    assert gone == ["never asked", "new", "answered first", "answered last"]


def test_whoever_asks_again_goes_to_the_end() -> None:
    order: EvictionOrder[str] = EvictionOrder()
    for one in ("early", "late"):
        order.opened(one)
        order.busy(one)
        order.idle(one)
    order.busy("early")
    order.idle("early")
    assert order.next_to_evict() == "late"


def test_the_limits_as_they_are_meant() -> None:
    assert ClientTimeouts() == ClientTimeouts(idle_s=120, head_s=15, read_s=30, read_bytes=32_768)
