"""Which slot runs after starts and boots, over a real directory."""

import pytest

from spsd.failures import ApplianceError
from spsd.slots.boot import Activation, BootRecord, running_slot, why_in_use
from spsd.slots.boot_link import open_boot_choice


@pytest.fixture
def root(tmp_path):
    for slot in (1, 2, 3):
        (tmp_path / str(slot)).mkdir()
    return tmp_path


async def started(root, boot_id, named=None):
    return await open_boot_choice(root, boot_id=boot_id, named=named)


async def test_without_a_record_the_running_slot_is_unknown(root):
    (root / "next").symlink_to("2")
    choice = await started(root, "a")
    assert choice.current is None
    assert await choice.chosen() == 2


async def test_a_choice_takes_effect_with_the_next_boot(root):
    choice = await started(root, "a", named=1)
    await choice.choose(2)
    assert (choice.current, await choice.chosen()) == (1, 2)
    assert (await started(root, "a")).current == 1
    assert (await started(root, "b")).current == 2


async def test_a_boot_without_a_choice_keeps_the_slot(root):
    await started(root, "a", named=3)
    assert (await started(root, "b")).current == 3


async def test_a_choice_takes_effect_after_a_record_without_a_slot(root):
    choice = await started(root, "a")
    await choice.choose(2)
    assert (await started(root, "a")).current is None
    assert (await started(root, "b")).current == 2


async def test_a_choice_of_this_boot_waits_for_the_next_boot(root):
    choice = await started(root, "a", named=1)
    await choice.choose(2)
    choice = await started(root, "b")
    await choice.choose(3)
    assert (await started(root, "b")).current == 2
    assert (await started(root, "c")).current == 3


async def test_the_command_line_has_precedence(root):
    choice = await started(root, "a", named=1)
    await choice.choose(2)
    assert (await started(root, "a", named=3)).current == 3
    assert (await started(root, "b", named=1)).current == 1
    # It was recorded: later in this boot the slot is known without the command line.
    assert (await started(root, "b")).current == 1


@pytest.mark.parametrize("target", ["4", "x", "0", "01", "./2", "../2", "2/", "100"])
async def test_a_link_that_names_no_slot_is_no_choice(root, target):
    (root / "100").mkdir()
    await started(root, "a", named=1)
    (root / "next").symlink_to(target)
    choice = await started(root, "b")
    assert (choice.current, await choice.chosen()) == (1, None)


async def test_a_file_instead_of_the_link_is_no_choice(root):
    (root / "next").write_text("2")
    assert await (await started(root, "a")).chosen() is None


async def test_the_link_is_relative_and_leaves_no_scratch(root):
    choice = await started(root, "a")
    (root / ".next.new").symlink_to("left by a crash")
    for slot in (1, 2):
        await choice.choose(slot)
        assert str((root / "next").readlink()) == str(slot)
    await choice.choose(None)
    await choice.choose(None)
    assert sorted(path.name for path in root.iterdir()) == ["1", "2", "3", "boot.json"]


async def test_a_pending_activation_survives_starts_and_boots(root):
    choice = await started(root, "a", named=1)
    assert choice.pending is None
    await choice.record_pending(Activation(2, 1))
    for boot_id in ("a", "b"):
        choice = await started(root, boot_id)
        assert choice.pending == Activation(2, 1)
    await choice.clear_pending()
    assert choice.pending is None
    assert (await started(root, "b")).pending is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"boot_id": 1}', b"\xff"])
async def test_a_record_that_cannot_be_read_is_no_record_and_is_logged(root, content, caplog):
    (root / "boot.json").write_bytes(content)
    assert (await started(root, "a")).current is None
    assert "boot.json cannot be read" in caplog.text
    # It is replaced, so the next boot has a record again.
    await (await started(root, "a")).choose(2)
    assert (await started(root, "b")).current == 2


async def test_a_record_that_cannot_be_written_prevents_choices_but_no_start(root, caplog):
    (root / ".boot.json.new").mkdir()
    choice = await started(root, "a", named=1)
    assert choice.current == 1
    assert "the running slot could not be recorded" in caplog.text
    with pytest.raises(ApplianceError):
        await choice.record_pending(Activation(2, None))
    assert choice.pending is None


async def test_a_link_that_cannot_be_written_is_an_error(root):
    choice = await started(root, "a")
    (root / "next").mkdir()
    with pytest.raises(ApplianceError, match="choosing the slot"):
        await choice.choose(2)


def test_only_a_boot_makes_a_choice_effective():
    recorded = BootRecord("a", 1)
    assert running_slot("a", named=None, recorded=recorded, chosen=2) == 1
    assert running_slot("b", named=None, recorded=recorded, chosen=2) == 2
    assert running_slot("b", named=None, recorded=None, chosen=2) is None
    assert running_slot("b", named=3, recorded=None, chosen=2) == 3


@pytest.mark.parametrize(
    ("slot", "chosen", "current", "pending", "needed"),
    [
        (1, None, 1, None, True),
        (1, 2, 1, None, False),  # the running slot is protected by another rule
        (2, 2, 1, None, True),
        (3, 2, 1, None, False),
        (3, 2, 1, Activation(2, 3), True),
        (3, 2, 1, Activation(3, None), True),
        (3, None, None, None, False),
    ],
)
def test_the_slots_that_the_next_boot_needs_are_in_use(slot, chosen, current, pending, needed):
    why = why_in_use(slot, chosen=chosen, current=current, pending=pending)
    assert (why is not None) is needed
