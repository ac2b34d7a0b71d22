"""Which slot runs, and which is to run next: the rules, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Activation:
    """A choice whose activation hook is not known to have run; ``before`` is what it replaced."""

    slot: int
    before: int | None


@dataclass(frozen=True, slots=True)
class BootRecord:
    """Which slot ran in which boot; ``slot`` None: nobody knew."""

    boot_id: str
    slot: int | None
    pending: Activation | None = None


def running_slot(
    boot_id: str, *, named: int | None, recorded: BootRecord | None, chosen: int | None
) -> int | None:
    """The slot that runs in this boot.

    ``named`` is what the kernel's command line says, ``chosen`` what the choice says now. A choice
    comes true with the boot after it, never within one.
    """
    if named is not None:
        return named
    if recorded is None:
        return None
    if recorded.boot_id == boot_id or chosen is None:
        return recorded.slot
    return chosen


def why_in_use(
    slot: int, *, chosen: int | None, current: int | None, pending: Activation | None
) -> str | None:
    """Why the image must stay in its slot for the sake of a boot to come; None: it need not."""
    if slot == (current if chosen is None else chosen):
        return f"Slot {slot} holds the firmware that runs after the next reboot."
    if pending is not None and slot in {pending.slot, pending.before}:
        return f"Slot {slot} is needed by an upgrade that is under way."
    return None
