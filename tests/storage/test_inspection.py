"""Which facts about a database file make the daemon refuse it, and with which evidence."""

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


def test_every_code_has_its_name_meaning_and_advice():
    names = "locked read_only full corrupt foreign future unreadable"
    assert [fault.value for fault in DatabaseFault] == [f"database_{n}" for n in names.split()]
    assert list(MEANING) == list(ADVICE) == list(DatabaseFault)
    assert len(set(MEANING.values())) == len(set(ADVICE.values())) == len(DatabaseFault)
    keys = {fault: (MEANING[fault], ADVICE[fault]) for fault in DatabaseFault}
    assert "has locked" in keys[DatabaseFault.LOCKED][0]
    assert "End the program" in keys[DatabaseFault.LOCKED][1]
    assert "read but not written" in keys[DatabaseFault.READ_ONLY][0]
    assert "owner and mode" in keys[DatabaseFault.READ_ONLY][1]
    assert "no space left" in keys[DatabaseFault.FULL][0]
    assert "Free space" in keys[DatabaseFault.FULL][1]
    assert "damaged" in keys[DatabaseFault.CORRUPT][0]
    assert "Copy the file away" in keys[DatabaseFault.CORRUPT][1]
    assert "another program" in keys[DatabaseFault.FOREIGN][0]
    assert "move the file away" in keys[DatabaseFault.FOREIGN][1]
    assert "newer spsd" in keys[DatabaseFault.FUTURE][0]
    assert "newer spsd" in keys[DatabaseFault.FUTURE][1]
    assert "disk reports" in keys[DatabaseFault.UNREADABLE][0]
    assert "kernel's log" in keys[DatabaseFault.UNREADABLE][1]


def test_our_files_are_marked():
    assert APPLICATION_ID.to_bytes(4, "big") == b"spsd"


def test_an_error_has_path_code_evidence_and_advice():
    error = DatabaseError(DatabaseFault.FULL, "/x/db", "no room")
    assert str(error) == f"/x/db: database_full: no room. {ADVICE[DatabaseFault.FULL]}"
    assert (error.fault, error.what) == (DatabaseFault.FULL, "no room")


@pytest.mark.parametrize(
    "inspection",
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
def test_usable_databases(inspection):
    empty = inspection.version == 0
    usable = replace(inspection, expected=frozenset()) if empty else inspection
    assert judge_database(usable) is None


@pytest.mark.parametrize(
    ("inspection", "fault", "evidence"),
    [
        (
            replace(GOOD, application_id=1, version=3, damage=("x",)),
            DatabaseFault.FOREIGN,
            "it belongs to another program: its application_id is 0x1, not 0x73707364 or 0",
        ),
        (
            replace(GOOD, version=3, damage=("x",)),
            DatabaseFault.FUTURE,
            "the database has version 3, but this spsd knows no version above 2",
        ),
        (replace(GOOD, damage=("x",)), DatabaseFault.CORRUPT, "SQLite's quick_check reports: x"),
        (
            replace(EMPTY, objects=GOOD.objects, damage=("x", "y", "z")),
            DatabaseFault.CORRUPT,
            "SQLite's quick_check reports: x and 2 more",
        ),
        (
            replace(GOOD, damage=("x", "y")),
            DatabaseFault.CORRUPT,
            "SQLite's quick_check reports: x and 1 more",
        ),
        (
            replace(EMPTY, objects=frozenset("dcba"), used=True),
            DatabaseFault.FOREIGN,
            "it has no spsd schema version, but holds a, b, c",
        ),
        (
            replace(EMPTY, used=True),
            DatabaseFault.CORRUPT,
            "it is empty, although the reserve file beside it shows that it had rows",
        ),
        (
            replace(GOOD, objects=frozenset({"job"}), expected=frozenset("dcba")),
            DatabaseFault.CORRUPT,
            "it lacks a, b, c, which version 2 requires",
        ),
        (
            replace(GOOD, version=1, objects=frozenset({"job"})),
            DatabaseFault.CORRUPT,
            "it lacks account, which version 1 requires",
        ),
    ],
)
def test_refused_databases(inspection, fault, evidence):
    assert judge_database(inspection) == (fault, evidence)
