"""The simulated disk of the power cuts: what it guarantees after a cut, and what it does not."""

from scripts.programs.powercut.disk import Disk, Tree, variants
from scripts.programs.powercut.effects import (
    ROOT,
    Effect,
    Make,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
)

NEW = Make(ROOT, "new", 1, "file", 0o600)
DIRECTORY = Make(ROOT, "dir", 2, "directory", 0o700)


def after(*effects: Effect) -> dict[str, dict[str, bytes]]:
    """For each variant the files that may be on disk, by their paths."""
    disk = Disk()
    for effect in effects:
        disk.take(effect)
    return {variant: files(tree) for variant, tree in disk.remainders(1)}


def files(tree: Tree) -> dict[str, bytes]:
    return {path: tree.files[node] for path, node in tree.walk() if node in tree.files}


def test_nothing_is_safe_before_a_sync() -> None:
    left = after(NEW, Write(1, 0, b"abc"))
    assert left["nothing"] == {}
    assert left["everything"] == {"/new": b"abc"}
    assert left["names"] == {"/new": b""}
    assert left["lengths"] == {"/new": b"\0\0\0"}
    assert left["bytes"] == {}


def test_a_file_needs_the_sync_of_its_directory_as_well() -> None:
    assert after(NEW, Write(1, 0, b"abc"), Sync(1))["nothing"] == {}
    assert after(NEW, Write(1, 0, b"abc"), Sync(ROOT))["nothing"] == {"/new": b""}
    for syncs in ([Sync(1), Sync(ROOT)], [Sync(ROOT), Sync(1)]):
        left = after(NEW, Write(1, 0, b"abc"), *syncs)
        assert set(map(str, left.values())) == {"{'/new': b'abc'}"}


def test_effects_after_a_sync_may_be_lost() -> None:
    left = after(NEW, Write(1, 0, b"abc"), Sync(1), Sync(ROOT), Truncate(1, 1), Write(1, 1, b"xyz"))
    assert left["nothing"] == {"/new": b"abc"}
    assert left["everything"] == {"/new": b"axyz"}
    assert left["without-first-write"] == {"/new": b"a"}


def test_writes_may_come_in_any_order_and_the_last_may_be_torn() -> None:
    one, two = b"1" * 1024, b"2" * 1024
    left = after(NEW, Sync(ROOT), Write(1, 0, one), Write(1, 1024, two))
    assert left["last-write"] == {"/new": bytes(1024) + two}
    assert left["without-first-write"] == {"/new": bytes(1024) + two}
    assert left["torn"] == {"/new": one + b"2" * 512} or left["torn"] == {"/new": one}


def test_a_rename_is_whole_and_safe_with_the_directory_it_leads_to() -> None:
    old = [NEW, Write(1, 0, b"abc"), Sync(1), DIRECTORY, Sync(ROOT)]
    moved = Rename(ROOT, "new", 2, "there")
    assert after(*old, moved)["nothing"] == {"/new": b"abc"}
    assert after(*old, moved)["everything"] == {"/dir/there": b"abc"}
    assert after(*old, moved, Sync(ROOT))["nothing"] == {"/new": b"abc"}
    assert after(*old, moved, Sync(2))["nothing"] == {"/dir/there": b"abc"}


def test_a_rename_over_a_name_leaves_the_old_or_the_new() -> None:
    old = [NEW, Write(1, 0, b"old"), Sync(1), Sync(ROOT)]
    scratch = [Make(ROOT, ".scratch", 3, "file"), Write(3, 0, b"fresh")]
    over = Rename(ROOT, ".scratch", ROOT, "new")
    good = after(*old, *scratch, Sync(3), over)
    assert {content["/new"] for content in good.values()} == {b"old", b"fresh"}
    bad = after(*old, *scratch, over)
    assert bad["names"]["/new"] == b""


def test_names_of_a_directory_change_in_order() -> None:
    effects = [NEW, Remove(ROOT, "new"), Make(ROOT, "newer", 3, "file"), Sync(ROOT)]
    assert after(*effects)["nothing"] == {"/newer": b""}


def test_a_file_in_a_lost_directory_is_lost() -> None:
    # The directory's own name is lost, so the files that were synced in it are lost, too.
    effects = [DIRECTORY, Make(2, "inside", 1, "file"), Sync(1), Sync(2)]
    assert after(*effects)["nothing"] == {}


def test_different_trees_have_different_keys() -> None:
    keys = set()
    for effects in ([], [NEW], [NEW, Write(1, 0, b"a")], [NEW, Write(1, 0, b"b")], [DIRECTORY]):
        disk = Disk()
        for effect in effects:
            disk.take(effect)
        keys.add(dict(disk.remainders(1))["everything"].key())
    assert len(keys) == 5
    assert "torn" in variants(0)


def test_a_tree_can_be_written_to_disk(tmp_path) -> None:
    disk = Disk()
    for effect in (DIRECTORY, Make(2, "f", 1, "file", 0o640), Write(1, 0, b"abc")):
        disk.take(effect)
    disk.take(Make(ROOT, "link", 5, "link", target="dir/f"))
    dict(disk.remainders(1))["everything"].write_to(tmp_path)
    assert (tmp_path / "link").read_bytes() == b"abc"
    assert (tmp_path / "dir/f").stat().st_mode & 0o777 == 0o640
