"""The rules of the running slot and of the needed slots, as tables."""

import pytest

from spsd.slots.boot import Activation, BootRecord, running_slot, why_in_use

NEXT = "Slot {} holds the firmware that runs after the next reboot."
UPGRADE = "Slot {} is needed by an upgrade that is in progress."


@pytest.mark.parametrize(
    ("named", "recorded", "chosen", "slot"),
    [
        (1, BootRecord("now", 2), 3, 1),
        (1, None, None, 1),
        (None, None, 3, None),
        (None, BootRecord("now", 2), 3, 2),
        (None, BootRecord("now", None), 3, None),
        (None, BootRecord("before", 2), 3, 3),
        (None, BootRecord("before", 2), None, 2),
        (None, BootRecord("now", 2), None, 2),
    ],
)
def test_which_slot_runs(named, recorded, chosen, slot):
    assert running_slot("now", named=named, recorded=recorded, chosen=chosen) == slot


@pytest.mark.parametrize(
    ("chosen", "current", "pending", "needed"),
    [
        (None, None, None, {}),
        (None, 1, None, {1: NEXT}),
        (2, 1, None, {2: NEXT}),
        (2, 1, Activation(2, 1), {1: UPGRADE, 2: NEXT}),
        (2, 1, Activation(3, None), {2: NEXT, 3: UPGRADE}),
        (None, None, Activation(3, 1), {1: UPGRADE, 3: UPGRADE}),
    ],
)
def test_which_slots_are_needed(chosen, current, pending, needed):
    for slot in range(1, 5):
        why = why_in_use(slot, chosen=chosen, current=current, pending=pending)
        assert why == (needed[slot].format(slot) if slot in needed else None)


def test_a_record_has_no_pending_activation_by_default():
    assert BootRecord("now", 1).pending is None
