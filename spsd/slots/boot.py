"""Rules: which slot runs in this boot, and which images the next boot needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Activation:
    """A choice whose activation is not known to be complete; it replaced ``before``."""

    slot: int
    before: int | None


@dataclass(frozen=True, slots=True)
class BootRecord:
    """Which slot ran in the boot ``boot_id``; ``slot`` None: it was unknown."""

    boot_id: str
    slot: int | None
    pending: Activation | None = None


def running_slot(
    boot_id: str, *, named: int | None, recorded: BootRecord | None, chosen: int | None
) -> int | None:
    """The slot that runs in the boot ``boot_id``; None: unknown.

    ``named`` is the slot on the kernel's command line, ``recorded`` the record of an earlier start,
    ``chosen`` the present choice. A choice takes effect with the next boot, never within a boot.
    """
    # Rule 1: the kernel's command line is the only fact about this boot itself.
    if named is not None:
        return named
    # Rule 2: without a record it is unknown whether the choice is older than this boot.
    if recorded is None:
        return None
    # Rule 3: in the recorded boot, or without a choice, the recorded slot runs.
    if recorded.boot_id == boot_id or chosen is None:
        return recorded.slot
    # Rule 4: a boot after the recorded one has started the chosen slot.
    return chosen


def why_in_use(
    slot: int, *, chosen: int | None, current: int | None, pending: Activation | None
) -> str | None:
    """Why the next boot may need the image in the slot, as a sentence; None: it does not."""
    if slot == (current if chosen is None else chosen):
        return f"Slot {slot} holds the firmware that runs after the next reboot."
    if pending is not None and slot in {pending.slot, pending.before}:
        return f"Slot {slot} is needed by an upgrade that is in progress."
    return None
