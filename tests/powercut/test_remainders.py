"""The remainders of a run: equal ones count once, with the strictest requirement of them."""

from scripts.programs.powercut.daemon import BLOCK, SYNC_WINDOW
from scripts.programs.powercut.effects import BEGIN, ROOT, Effect, Make, Mark, Rename, Sync, Write
from scripts.programs.powercut.remainders import remainders

DIGEST = "d" * 64
SIZE = 4 * SYNC_WINDOW
SIZES = {DIGEST: (SIZE, SIZE)}
PARTIAL: tuple[Effect, ...] = (
    Make(ROOT, "state", 1, "directory"),
    Make(1, "staging", 2, "directory"),
    Make(1, "slots", 3, "directory"),
    Make(2, DIGEST, 4, "directory"),
    Make(4, "image", 5, "file"),
    *(Sync(node) for node in (ROOT, 1, 2, 3, 4)),
    Mark(BEGIN),
    Mark(f"submit-sent {DIGEST} good"),
    Mark("accepted k"),
)


def arriving(*, synced: bool) -> list[Effect]:
    effects = list(PARTIAL)
    for offset in range(0, SIZE, BLOCK):
        effects.append(Write(5, offset, bytes([1 + offset // BLOCK]) * BLOCK))
        if synced and (offset + BLOCK) % SYNC_WINDOW == 0:
            effects.append(Sync(5))
    return effects


def strictest(effects: list[Effect], variant: str) -> list[tuple[int, int]]:
    """For each remainder of a variant: the partial's length, and the bytes allowed to fetch."""
    different = remainders(effects, ["user-added"], SIZES).different.values()
    accepted = [one for one in different if len(one.marks) == 4 and one.variant == variant]
    return [(len(one.tree.files[5]), one.most) for one in accepted]


def test_without_syncs_the_bytes_of_the_last_cut_may_not_be_fetched_again() -> None:
    # The remainder after each cut is the same; to fetch all of it again breaks promise d.
    assert strictest(arriving(synced=False), "nothing") == [(0, SYNC_WINDOW + BLOCK)]


def test_with_a_sync_for_each_window_all_missing_bytes_may_be_fetched() -> None:
    lengths = strictest(arriving(synced=True), "nothing")
    assert lengths
    assert all(SIZE - length <= most for length, most in lengths)


def test_bytes_that_moved_into_a_slot_still_count() -> None:
    effects = [*arriving(synced=True), Rename(2, DIGEST, 3, "1"), Sync(3)]
    last = list(remainders(effects, ["user-added"], SIZES).different.values())[-1]
    assert dict(last.tree.walk())["/state/slots/1/image"] == 5
    assert last.most == SYNC_WINDOW + BLOCK


def test_equal_remainders_count_once() -> None:
    collected = remainders(arriving(synced=True), ["user-added"], SIZES)
    assert collected.possible > len(collected.different) > 0
