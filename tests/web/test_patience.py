"""How long a client may dawdle, and who makes room."""

import pytest

from spsd.web.middleware.connections import Conduct, Offence, Order, Patience, offence

LIMITS = Patience(idle_s=100, head_s=10, read_s=30)


def conduct(**changes: object) -> Conduct:
    usual = {
        "answering": False,
        "quiet_since": 0.0,
        "head_since": None,
        "unread_since": None,
    }
    return Conduct(**(usual | changes))


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (conduct(), 99.9, None),
        (conduct(), 100, Offence.IDLE),
        (conduct(quiet_since=50.0), 149, None),
        (conduct(head_since=5.0), 14.9, None),
        (conduct(head_since=5.0), 15, Offence.SLOW_HEAD),
        (conduct(answering=True), 10_000, None),
        (conduct(answering=True, unread_since=10.0), 39.9, None),
        (conduct(answering=True, unread_since=10.0), 40, Offence.NOT_READING),
        (conduct(unread_since=10.0), 40, Offence.NOT_READING),
    ],
)
def test_each_limit_is_reached_when_it_is(
    seen: Conduct, now: float, expected: Offence | None
) -> None:
    assert offence(seen, LIMITS, now=now) is expected


def test_the_quietest_go_first_and_those_with_an_answer_last() -> None:
    order: Order[str] = Order()
    for one in ("answered first", "busy", "never asked", "answered last", "new"):
        order.arrived(one)
    for one in ("answered first", "busy", "answered last"):
        order.is_answered(one)
    for one in ("answered first", "answered last"):
        order.rests(one)
    gone = []
    while (leaves := order.first_to_go()) is not None:
        gone.append(leaves)
        order.left(leaves)
    assert gone == ["never asked", "new", "answered first", "answered last"]


def test_whoever_asks_again_goes_to_the_end() -> None:
    order: Order[str] = Order()
    for one in ("early", "late"):
        order.arrived(one)
        order.is_answered(one)
        order.rests(one)
    order.is_answered("early")
    order.rests("early")
    assert order.first_to_go() == "late"


def test_the_limits_as_they_are_meant() -> None:
    assert Patience() == Patience(idle_s=120, head_s=15, read_s=30, read_bytes=32_768)
