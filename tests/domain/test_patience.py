"""How long a client may dawdle, and who makes room."""

import pytest

from spsd.domain.patience import Conduct, Offence, Patience, first_to_go, offence

LIMITS = Patience(idle_s=100, head_s=10, read_s=30)


def conduct(**changes: object) -> Conduct:
    usual = {
        "answering": False,
        "quiet_since": 0.0,
        "head_since": None,
        "unread_since": None,
        "served": False,
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
    connections = [
        ("answered long ago", conduct(served=True, quiet_since=1.0)),
        ("new", conduct(quiet_since=9.0)),
        ("never asked", conduct(quiet_since=5.0, head_since=8.0)),
        ("being answered", conduct(answering=True)),
    ]
    order = []
    while (leaves := first_to_go(connections)) is not None:
        order.append(leaves)
        connections = [one for one in connections if one[0] != leaves]
    assert order == ["never asked", "new", "answered long ago"]
    assert connections[0][0] == "being answered"
