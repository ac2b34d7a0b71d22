"""The time limits of clients, and the order in which connections are closed."""

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
    defaults = {
        "handling": False,
        "idle_since": 0.0,
        "head_since": None,
        "blocked_since": None,
    }
    return ConnectionActivity(**(defaults | changes))


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        (activity(), 99.9, None),
        (activity(), 100, SlowClient.IDLE),
        (activity(idle_since=50.0), 149, None),
        (activity(head_since=5.0), 14.9, None),
        (activity(head_since=5.0), 15, SlowClient.SLOW_HEAD),
        (activity(handling=True), 10_000, None),
        (activity(handling=True, blocked_since=10.0), 39.9, None),
        (activity(handling=True, blocked_since=10.0), 40, SlowClient.NOT_READING),
        (activity(blocked_since=10.0), 40, SlowClient.NOT_READING),
    ],
)
def test_each_limit_is_reached_in_time(
    state: ConnectionActivity, now: float, expected: SlowClient | None
) -> None:
    assert slow_client(state, LIMITS, now=now) is expected


def test_connections_without_a_response_are_closed_first() -> None:
    order: EvictionOrder[str] = EvictionOrder()
    for name in ("response first", "busy", "no request", "response last", "new"):
        order.opened(name)
    for name in ("response first", "busy", "response last"):
        order.busy(name)
    for name in ("response first", "response last"):
        order.idle(name)
    evicted = []
    while (name := order.next_to_evict()) is not None:
        evicted.append(name)
        order.closed(name)
    assert evicted == ["no request", "new", "response first", "response last"]


def test_a_new_request_moves_a_connection_to_the_end() -> None:
    order: EvictionOrder[str] = EvictionOrder()
    for name in ("early", "late"):
        order.opened(name)
        order.busy(name)
        order.idle(name)
    order.busy("early")
    order.idle("early")
    assert order.next_to_evict() == "late"


def test_the_default_limits() -> None:
    assert ClientTimeouts() == ClientTimeouts(idle_s=120, head_s=15, read_s=30, read_bytes=32_768)
