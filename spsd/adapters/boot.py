"""What the kernel says of this boot, and whose it is."""

import re
import socket
from pathlib import Path

_SLOT = re.compile(r"(?:^|\s)spsd\.slot=([1-9]\d?)(?=\s|$)", re.ASCII)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def appliance(state: Path) -> str:
    """A name that tells this appliance from others, and is the same after a reboot.

    Machines that were copied with their machine id differ by host name or state directory.
    """
    return "\0".join((_machine_id(), socket.gethostname(), str(state.resolve())))


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def booted_slot() -> int | None:
    """The slot that the boot loader chose, as it says on the kernel's command line."""
    return slot_named(Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace"))


def slot_named(command_line: str) -> int | None:
    """N of ``spsd.slot=N``; None if it names none, or several."""
    found = set(_SLOT.findall(command_line))
    return int(found.pop()) if len(found) == 1 else None
