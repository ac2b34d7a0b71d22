"""Kinds of sync by what they are of, and what can be left without each."""

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


def test_a_sync_is_called_by_the_path_of_that_moment() -> None:
    named = [kind for kind in kinds(RUN) if kind is not None]
    assert named == ["directory /slots", "file /slots/N/.new", "directory /slots/N", "file /DIGEST"]


def test_a_name_that_was_renamed_over_is_another_file_from_then_on() -> None:
    assert kinds((*RUN, Sync(3)))[-1] == "file /slots/N/image"


def test_what_was_before_the_run_is_not_left_out() -> None:
    assert kinds(RUN)[1] is None


def test_only_what_a_sync_prevents_is_left_besides() -> None:
    def left(effects):
        return remainders(effects, (), {})

    without = {one.kind: one for one in missing(RUN, left)}
    assert without["file /slots/N/.new"].times == 1
    whole = left(RUN).different
    for one in without.values():
        assert all((r.tree.key(), len(r.marks)) not in whole for r in one.remainders)
    bytes_of = [r.tree.files.get(3) for r in without["file /slots/N/.new"].remainders]
    assert b"" in bytes_of
    assert b"\0\0\0" in bytes_of
    # Nobody wrote to it, so there is nothing to lose.
    assert without["file /DIGEST"].remainders == []


def test_what_is_spare_has_its_reason() -> None:
    assert all(len(reason.split()) > 5 for reason in SPARE.values())
