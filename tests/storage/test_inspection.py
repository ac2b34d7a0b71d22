"""What an examination of the database proves, edge by edge."""

from dataclasses import replace

import pytest

from spsd.storage.faults import ADVICE, APPLICATION_ID, MEANING, DatabaseError, Trouble
from spsd.storage.inspection import Examined, judge_database

GOOD = Examined(
    application_id=APPLICATION_ID,
    version=2,
    newest=2,
    objects=frozenset({"job", "account", "more"}),
    expected=frozenset({"job", "account"}),
    damage=(),
    used=True,
)
EMPTY = replace(GOOD, application_id=0, version=0, objects=frozenset(), used=False)


def test_codes_keep_their_names_and_each_is_explained():
    names = "locked read_only full corrupt foreign future unreadable"
    assert [trouble.value for trouble in Trouble] == [f"database_{n}" for n in names.split()]
    assert list(MEANING) == list(ADVICE) == list(Trouble)
    assert len(set(MEANING.values())) == len(set(ADVICE.values())) == len(Trouble)
    keys = {trouble: (MEANING[trouble], ADVICE[trouble]) for trouble in Trouble}
    assert "holds" in keys[Trouble.LOCKED][0]
    assert "End the program" in keys[Trouble.LOCKED][1]
    assert "not written" in keys[Trouble.READ_ONLY][0]
    assert "owner and mode" in keys[Trouble.READ_ONLY][1]
    assert "no room" in keys[Trouble.FULL][0]
    assert "Free space" in keys[Trouble.FULL][1]
    assert "damaged" in keys[Trouble.CORRUPT][0]
    assert "copy it away" in keys[Trouble.CORRUPT][1]
    assert "another program's" in keys[Trouble.FOREIGN][0]
    assert "move the file away" in keys[Trouble.FOREIGN][1]
    assert "newer spsd" in keys[Trouble.FUTURE][0]
    assert "newer spsd" in keys[Trouble.FUTURE][1]
    assert "disk reports" in keys[Trouble.UNREADABLE][0]
    assert "kernel's log" in keys[Trouble.UNREADABLE][1]


def test_our_files_are_marked():
    assert APPLICATION_ID.to_bytes(4, "big") == b"spsd"


def test_an_error_says_where_and_what_to_do():
    error = DatabaseError(Trouble.FULL, "/x/db", "no room")
    assert str(error) == f"/x/db: database_full: no room. {ADVICE[Trouble.FULL]}"
    assert (error.trouble, error.what) == (Trouble.FULL, "no room")


@pytest.mark.parametrize(
    "found",
    [
        GOOD,
        EMPTY,
        replace(GOOD, application_id=0),
        replace(GOOD, version=1),
        replace(GOOD, used=False),
        replace(GOOD, expected=GOOD.objects),
        replace(EMPTY, expected=frozenset()),
    ],
)
def test_what_may_be_worked_with(found):
    expected = found if found.version else replace(found, expected=frozenset())
    assert judge_database(expected) is None


@pytest.mark.parametrize(
    ("found", "trouble", "evidence"),
    [
        (
            replace(GOOD, application_id=1, version=3, damage=("x",)),
            Trouble.FOREIGN,
            "it is another program's: its application_id is 0x1, and not 0x73707364 or 0",
        ),
        (
            replace(GOOD, version=3, damage=("x",)),
            Trouble.FUTURE,
            "the database has version 3, but this spsd knows 2 at most",
        ),
        (replace(GOOD, damage=("x",)), Trouble.CORRUPT, "SQLite's quick_check says: x"),
        (
            replace(EMPTY, objects=GOOD.objects, damage=("x", "y", "z")),
            Trouble.CORRUPT,
            "SQLite's quick_check says: x and 2 more",
        ),
        (
            replace(GOOD, damage=("x", "y")),
            Trouble.CORRUPT,
            "SQLite's quick_check says: x and 1 more",
        ),
        (
            replace(EMPTY, objects=frozenset("dcba"), used=True),
            Trouble.FOREIGN,
            "it has no version of ours, but holds a, b, c",
        ),
        (
            replace(EMPTY, used=True),
            Trouble.CORRUPT,
            "it is empty, although the files beside it show that it was in use",
        ),
        (
            replace(GOOD, objects=frozenset({"job"}), expected=frozenset("dcba")),
            Trouble.CORRUPT,
            "it lacks a, b, c of version 2",
        ),
        (
            replace(GOOD, version=1, objects=frozenset({"job"})),
            Trouble.CORRUPT,
            "it lacks account of version 1",
        ),
    ],
)
def test_what_may_not(found, trouble, evidence):
    assert judge_database(found) == (trouble, evidence)
