"""What an examination of the database proves, edge by edge."""

from dataclasses import replace

import pytest

from spsd.storage.faults import ADVICE, APPLICATION_ID, MEANING, DatabaseError, DatabaseFault
from spsd.storage.inspection import Inspection, judge_database

GOOD = Inspection(
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
    assert [fault.value for fault in DatabaseFault] == [f"database_{n}" for n in names.split()]
    assert list(MEANING) == list(ADVICE) == list(DatabaseFault)
    assert len(set(MEANING.values())) == len(set(ADVICE.values())) == len(DatabaseFault)
    keys = {fault: (MEANING[fault], ADVICE[fault]) for fault in DatabaseFault}
    assert "holds" in keys[DatabaseFault.LOCKED][0]
    assert "End the program" in keys[DatabaseFault.LOCKED][1]
    assert "not written" in keys[DatabaseFault.READ_ONLY][0]
    assert "owner and mode" in keys[DatabaseFault.READ_ONLY][1]
    assert "no room" in keys[DatabaseFault.FULL][0]
    assert "Free space" in keys[DatabaseFault.FULL][1]
    assert "damaged" in keys[DatabaseFault.CORRUPT][0]
    assert "copy it away" in keys[DatabaseFault.CORRUPT][1]
    assert "another program's" in keys[DatabaseFault.FOREIGN][0]
    assert "move the file away" in keys[DatabaseFault.FOREIGN][1]
    assert "newer spsd" in keys[DatabaseFault.FUTURE][0]
    assert "newer spsd" in keys[DatabaseFault.FUTURE][1]
    assert "disk reports" in keys[DatabaseFault.UNREADABLE][0]
    assert "kernel's log" in keys[DatabaseFault.UNREADABLE][1]


def test_our_files_are_marked():
    assert APPLICATION_ID.to_bytes(4, "big") == b"spsd"


def test_an_error_says_where_and_what_to_do():
    error = DatabaseError(DatabaseFault.FULL, "/x/db", "no room")
    assert str(error) == f"/x/db: database_full: no room. {ADVICE[DatabaseFault.FULL]}"
    assert (error.fault, error.what) == (DatabaseFault.FULL, "no room")


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
    ("found", "fault", "evidence"),
    [
        (
            replace(GOOD, application_id=1, version=3, damage=("x",)),
            DatabaseFault.FOREIGN,
            "it is another program's: its application_id is 0x1, and not 0x73707364 or 0",
        ),
        (
            replace(GOOD, version=3, damage=("x",)),
            DatabaseFault.FUTURE,
            "the database has version 3, but this spsd knows 2 at most",
        ),
        (replace(GOOD, damage=("x",)), DatabaseFault.CORRUPT, "SQLite's quick_check says: x"),
        (
            replace(EMPTY, objects=GOOD.objects, damage=("x", "y", "z")),
            DatabaseFault.CORRUPT,
            "SQLite's quick_check says: x and 2 more",
        ),
        (
            replace(GOOD, damage=("x", "y")),
            DatabaseFault.CORRUPT,
            "SQLite's quick_check says: x and 1 more",
        ),
        (
            replace(EMPTY, objects=frozenset("dcba"), used=True),
            DatabaseFault.FOREIGN,
            "it has no version of ours, but holds a, b, c",
        ),
        (
            replace(EMPTY, used=True),
            DatabaseFault.CORRUPT,
            "it is empty, although the files beside it show that it was in use",
        ),
        (
            replace(GOOD, objects=frozenset({"job"}), expected=frozenset("dcba")),
            DatabaseFault.CORRUPT,
            "it lacks a, b, c of version 2",
        ),
        (
            replace(GOOD, version=1, objects=frozenset({"job"})),
            DatabaseFault.CORRUPT,
            "it lacks account of version 1",
        ),
    ],
)
def test_what_may_not(found, fault, evidence):
    assert judge_database(found) == (fault, evidence)
