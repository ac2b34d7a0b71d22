"""What decides between sources, one thing at a time."""

import math
from dataclasses import replace

import pytest

from spsd.transfer.rules.sources import FAILURES_BEFORE_DISCARD, Provenance, Source, Sources

URLS = ("http://a.example/", "http://b.example/", "http://c.example/")


def sources(*each, **more):
    return Sources(tuple(replace(Source(URLS[0]), **known) for known in each), **more)


def test_a_source_of_which_nothing_is_known():
    assert Source("u") == Source("u", 0, -math.inf, tried=False, excluded=False, suspected=False)


@pytest.mark.parametrize(
    ("count", "spent", "failures"),
    [(1, 0, 0), (1, 1, 0), (1, 2, 1), (1, 5, 4), (2, 2, 0), (2, 3, 1), (3, 3, 0), (3, 4, 1)],
)
def test_the_budget_that_is_spent_was_spent_on_all(count, spent, failures):
    made = Sources.at_start(URLS[:count], spent=spent)
    assert [source.url for source in made.all] == list(URLS[:count])
    assert [source.failures for source in made.all] == [failures] * count
    assert made.has_mirrors is (count > 1)


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ({}, {}, 0),
        ({"failures": 1}, {}, 1),
        ({"failures": 1}, {"failures": 1}, 0),
        ({"suspected": True}, {"failures": 9}, 1),
        ({"suspected": True}, {"ready_at": 101.0}, 0),
        ({"failures": 9}, {"ready_at": 101.0}, 0),
        ({"ready_at": 102.0}, {"ready_at": 101.0, "failures": 9}, 1),
        ({"ready_at": 102.0}, {"ready_at": 101.0, "suspected": True}, 1),
        ({"excluded": True}, {"ready_at": 101.0}, 1),
    ],
)
def test_who_is_asked(first, second, index):
    turn = sources(first, second).next_turn(now=100.0, has_bytes=False)
    assert turn.index == index
    wait = max(0.0, (first, second)[index].get("ready_at", 0.0) - 100)
    assert (turn.wait_s, turn.discards) == (wait, False)


def test_mixed_bytes_are_kept_by_whoever_is_next():
    turn = sources({"failures": 1}, {}).next_turn(now=100.0, has_bytes=True)
    assert (turn.index, turn.discards) == (1, False)


@pytest.mark.parametrize(("failures", "index"), [(2, 0), (3, 1)])
def test_three_failures_are_the_end_of_patience(failures, index):
    unmixed = sources({"failures": failures}, {}, unmixed=True)
    assert FAILURES_BEFORE_DISCARD == 3
    assert unmixed.next_turn(now=100.0, has_bytes=True).index == index
    assert unmixed.next_turn(now=100.0, has_bytes=False).index == 1
    assert not unmixed.next_turn(now=100.0, has_bytes=False).discards


def test_suspected_is_who_has_a_piece():
    after = sources({}, {}, {}).mismatched([None, 2, 0], mixed=True)
    assert [source.suspected for source in after.all] == [True, False, True]


def test_a_new_partial_is_nobodys_and_an_old_one_is_of_an_earlier_run():
    assert (Provenance(0).pieces, Provenance(1).pieces) == ([], [None])


def test_a_connection_has_a_piece_from_its_first_byte_on():
    made = Provenance(0)
    made.begin(1, 0)
    made.reached(0)
    made.reached(0)
    assert made.pieces == []
    made.reached(1)
    assert made.pieces == [1]
    made.reached(0)
    assert made.pieces == []
    made.reached(1)
    assert made.pieces == [1]
    made.begin(2, 1)
    for _ in range(2):
        made.reached(1)
        assert made.pieces == [1]
    for done in (2, 3):
        made.reached(done)
        assert made.pieces == [1, 2]
