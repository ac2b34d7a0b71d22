"""What the kernel says of this boot."""

import re
from pathlib import Path

_SLOT = re.compile(r"(?:^|\s)spsd\.slot=([1-9]\d?)(?=\s|$)", re.ASCII)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def booted_slot() -> int | None:
    """The slot that the boot loader chose, as it says on the kernel's command line."""
    return slot_named(Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace"))


def slot_named(command_line: str) -> int | None:
    """N of ``spsd.slot=N``; None if it names none, or several."""
    found = set(_SLOT.findall(command_line))
    return int(found.pop()) if len(found) == 1 else None
