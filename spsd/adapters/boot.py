"""What the kernel says of this boot, and whose it is."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

_SLOT = re.compile(r"(?:^|\s)spsd\.slot=([1-9]\d?)(?=\s|$)", re.ASCII)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """The facts of one boot of one machine, as the daemon is given them when it starts.

    ``booted_slot`` is what the boot loader names on the kernel's command line; None: nothing.
    ``machine_id`` is that of machine-id(5), or empty.
    """

    boot_id: str
    booted_slot: int | None
    host_name: str
    machine_id: str = ""

    def identity(self, state: Path) -> str:
        """A text that tells this appliance from others, and is the same after a reboot.

        Machines that were copied with their machine id differ by host name or state directory.
        """
        return "\0".join((self.machine_id, self.host_name, str(state.resolve())))


def this_appliance() -> Appliance:
    """The machine that this process runs on; reads files."""
    return Appliance(
        boot_id=boot_id(),
        booted_slot=booted_slot(),
        host_name=socket.gethostname(),
        machine_id=_machine_id(),
    )


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
