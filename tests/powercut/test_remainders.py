"""What may be left of a run: equal things once, and each under the hardest of its terms."""

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


def hardest(effects: list[Effect], luck: str) -> list[tuple[int, int]]:
    """Of what this luck leaves: the partial's length, and how much may be fetched again."""
    found = remainders(effects, ["user-added"], SIZES).different.values()
    accepted = [one for one in found if len(one.marks) == 4 and one.luck == luck]
    return [(len(one.tree.files[5]), one.most) for one in accepted]


def test_a_run_without_syncs_owes_what_had_come_at_its_last_cut() -> None:
    # The same is left after each cut. Whoever fetches all of it again breaks promise d.
    assert hardest(arriving(synced=False), "nothing") == [(0, SYNC_WINDOW + BLOCK)]


def test_a_run_that_syncs_each_window_never_owes_more_than_it_kept() -> None:
    left = hardest(arriving(synced=True), "nothing")
    assert left
    assert all(SIZE - kept <= most for kept, most in left)


def test_bytes_that_moved_into_a_slot_are_still_here() -> None:
    effects = [*arriving(synced=True), Rename(2, DIGEST, 3, "1"), Sync(3)]
    last = list(remainders(effects, ["user-added"], SIZES).different.values())[-1]
    assert dict(last.tree.walk())["/state/slots/1/image"] == 5
    assert last.most == SYNC_WINDOW + BLOCK


def test_equal_remainders_count_once() -> None:
    found = remainders(arriving(synced=True), ["user-added"], SIZES)
    assert found.possible > len(found.different) > 0
