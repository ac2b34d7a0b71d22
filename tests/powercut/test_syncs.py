"""The kinds of sync in a record, and the remainders that are possible only without each."""

from scripts.programs.powercut.effects import BEGIN, ROOT, Effect, Make, Mark, Rename, Sync, Write
from scripts.programs.powercut.remainders import remainders
from scripts.programs.powercut.syncs import SPARE, kinds, missing

KEY = "d" * 64
RUN: tuple[Effect, ...] = (
    Make(ROOT, "slots", 1, "directory"),
    Sync(ROOT),
    Mark(BEGIN),
    Make(1, "7", 2, "directory"),
    Sync(1),
    Make(2, ".new", 3, "file"),
    Write(3, 0, b"abc"),
    Sync(3),
    Make(2, "image", 4, "file"),
    Rename(2, ".new", 2, "image"),
    Sync(2),
    Make(ROOT, KEY, 5, "file"),
    Sync(5),
)


def test_a_kind_of_sync_has_the_path_at_that_moment() -> None:
    named = [kind for kind in kinds(RUN) if kind is not None]
    assert named == ["directory /slots", "file /slots/N/.new", "directory /slots/N", "file /DIGEST"]


def test_a_renamed_file_has_its_new_path() -> None:
    assert kinds((*RUN, Sync(3)))[-1] == "file /slots/N/image"


def test_syncs_before_the_run_have_no_kind() -> None:
    assert kinds(RUN)[1] is None


def test_without_a_sync_only_additional_remainders_are_listed() -> None:
    def remainders_of(effects):
        return remainders(effects, (), {})

    without = {sync.kind: sync for sync in missing(RUN, remainders_of)}
    assert without["file /slots/N/.new"].times == 1
    complete = remainders_of(RUN).different
    for sync in without.values():
        assert all((r.tree.key(), len(r.marks)) not in complete for r in sync.remainders)
    bytes_of = [r.tree.files.get(3) for r in without["file /slots/N/.new"].remainders]
    assert b"" in bytes_of
    assert b"\0\0\0" in bytes_of
    # Nothing was written to this file, so its sync changes nothing.
    assert without["file /DIGEST"].remainders == []


def test_every_spare_sync_has_a_reason() -> None:
    assert all(len(reason.split()) > 5 for reason in SPARE.values())
