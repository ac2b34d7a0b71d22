"""The time limits of clients, and the order in which connections are closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.web.connections.slow_clients import (
    ClientTimeouts,
    ConnectionActivity,
    EvictionOrder,
    SlowClient,
    Standing,
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


def evictions(order: EvictionOrder[str]) -> list[str]:
    """All connections that may be closed, in their order."""
    evicted = []
    while (name := order.next_to_evict()) is not None:
        evicted.append(name)
        order.closed(name)
    return evicted


def opened(*names: str, spared: int = 0) -> EvictionOrder[str]:
    """Connections named ``ADDRESS-...``."""
    order: EvictionOrder[str] = EvictionOrder(spared=spared)
    for name in names:
        order.opened(name, name.partition("-")[0])
    return order


def test_connections_are_closed_in_the_order_of_their_standing() -> None:
    order = opened("a-idle", "a-busy", "a-head", "a-silent", "a-blocked", "a-idle2", "a-silent2")
    order.place("a-idle2", Standing.IDLE)
    order.place("a-idle", Standing.IDLE)
    order.place("a-blocked", Standing.NOT_READING)
    order.place("a-head", Standing.NO_RESPONSE)
    order.place("a-busy", None)
    assert evictions(order) == [
        *("a-silent", "a-silent2", "a-blocked", "a-head", "a-idle2", "a-idle"),
    ]
    assert len(order) == 1  # the busy one


def test_the_address_with_most_connections_loses_first() -> None:
    order = opened("few-1", "many-1", "many-2", "few-2", "many-3", "many-busy", "many-busy2")
    for name in ("many-busy", "many-busy2"):
        order.place(name, None)
    assert evictions(order) == ["many-1", "many-2", "many-3", "few-1", "few-2"]


def test_a_standing_is_spared_while_it_has_few_connections() -> None:
    order = opened("a-new", "a-idle1", "a-idle2", "a-idle3", spared=1)
    for number in (1, 2, 3):
        order.place(f"a-idle{number}", Standing.IDLE)
    assert evictions(order) == ["a-idle1", "a-idle2", "a-new", "a-idle3"]


def test_a_new_request_moves_a_connection_to_the_end() -> None:
    order = opened("a-early", "a-late")
    for name in ("a-early", "a-late"):
        order.place(name, Standing.IDLE)
    order.place("a-early", None)
    order.place("a-early", Standing.IDLE)
    assert order.next_to_evict() == "a-late"


def test_a_standing_can_be_named() -> None:
    order = opened("a-silent", "a-blocked")
    order.place("a-blocked", Standing.NOT_READING)
    assert order.next_to_evict(Standing.NOT_READING) == "a-blocked"
    assert order.next_to_evict(Standing.IDLE) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "close", "evict", None, *Standing]),
            st.integers(0, 5),
            st.sampled_from("abc"),
        )
    )
)
def test_only_open_connections_with_a_standing_are_named(steps: list) -> None:
    order: EvictionOrder[int] = EvictionOrder(spared=1)
    standing: dict[int, Standing | None] = {}
    for step, number, address in steps:
        if step == "open" and number not in standing:
            order.opened(number, address)
            standing[number] = Standing.SILENT
        elif step == "close":
            order.closed(number)
            standing.pop(number, None)
        elif step is None or isinstance(step, Standing):
            order.place(number, step)
            if number in standing:
                standing[number] = step
        evictable = {number for number, each in standing.items() if each is not None}
        assert (order.next_to_evict() in evictable) if evictable else not order.next_to_evict()
        assert len(order) == len(standing)


def test_the_default_limits() -> None:
    assert ClientTimeouts() == ClientTimeouts(idle_s=120, head_s=15, read_s=30, read_bytes=32_768)
