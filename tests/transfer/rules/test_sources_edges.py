"""The choice between sources, one criterion at a time."""

import math
from dataclasses import replace

import pytest

from spsd.transfer.rules.sources import FAILURES_BEFORE_DISCARD, Provenance, Source, Sources

URLS = ("http://a.example/", "http://b.example/", "http://c.example/")


def sources(*each, **more):
    return Sources(tuple(replace(Source(URLS[0]), **state) for state in each), **more)


def test_the_state_of_a_new_source():
    assert Source("u") == Source("u", 0, -math.inf, tried=False, excluded=False, suspected=False)


@pytest.mark.parametrize(
    ("count", "spent", "failures"),
    [(1, 0, 0), (1, 1, 0), (1, 2, 1), (1, 5, 4), (2, 2, 0), (2, 3, 1), (3, 3, 0), (3, 4, 1)],
)
def test_the_spent_budget_is_spread_over_all_sources(count, spent, failures):
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
def test_which_source_is_next(first, second, index):
    turn = sources(first, second).next_turn(now=100.0, has_bytes=False)
    assert turn.index == index
    wait = max(0.0, (first, second)[index].get("ready_at", 0.0) - 100)
    assert (turn.wait_s, turn.discards) == (wait, False)


def test_a_change_of_source_keeps_mixed_bytes():
    turn = sources({"failures": 1}, {}).next_turn(now=100.0, has_bytes=True)
    assert (turn.index, turn.discards) == (1, False)


@pytest.mark.parametrize(("failures", "index"), [(2, 0), (3, 1)])
def test_unmixed_bytes_are_discarded_after_three_failures(failures, index):
    unmixed = sources({"failures": failures}, {}, unmixed=True)
    assert FAILURES_BEFORE_DISCARD == 3
    assert unmixed.next_turn(now=100.0, has_bytes=True).index == index
    assert unmixed.next_turn(now=100.0, has_bytes=False).index == 1
    assert not unmixed.next_turn(now=100.0, has_bytes=False).discards


def test_every_source_with_a_piece_is_suspected():
    after = sources({}, {}, {}).mismatched([None, 2, 0], mixed=True)
    assert [source.suspected for source in after.all] == [True, False, True]


def test_the_pieces_of_a_new_and_an_old_partial():
    assert (Provenance(0).pieces, Provenance(1).pieces) == ([], [None])


def test_a_connection_has_a_piece_from_its_first_byte_on():
    provenance = Provenance(0)
    provenance.begin(1, 0)
    provenance.reached(0)
    provenance.reached(0)
    assert provenance.pieces == []
    provenance.reached(1)
    assert provenance.pieces == [1]
    provenance.reached(0)
    assert provenance.pieces == []
    provenance.reached(1)
    assert provenance.pieces == [1]
    provenance.begin(2, 1)
    for _ in range(2):
        provenance.reached(1)
        assert provenance.pieces == [1]
    for done in (2, 3):
        provenance.reached(done)
        assert provenance.pieces == [1, 2]
