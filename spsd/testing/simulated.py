"""Start spsd on a simulated appliance: ``python -m spsd.testing.simulated serve …``.

The daemon is the real one, but it gets its clock, boot id and booted slot from the environment:

- ``SPSD_SIMULATED_CLOCK`` names a file of eight bytes, a little-endian signed number of seconds.
  It is added to the time of day, and may be changed while the daemon runs.
- ``SPSD_SIMULATED_BOOT`` is the boot id of the kernel; ``SPSD_SIMULATED_SLOT``, if set, is the slot
  that the kernel's command line names.
"""

import mmap
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

CLOCK: Final = "SPSD_SIMULATED_CLOCK"
BOOT: Final = "SPSD_SIMULATED_BOOT"
SLOT: Final = "SPSD_SIMULATED_SLOT"


def set_clock(path: Path, offset_s: int) -> None:
    """Write the offset to the file that `SPSD_SIMULATED_CLOCK` names."""
    content = offset_s.to_bytes(8, "little", signed=True)
    # Written in place, because the daemon has the file mapped.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)


def shifted_time(path: Path) -> Callable[[], int]:
    """A clock: seconds since the epoch plus the offset in that file, read at each call."""
    with path.open("rb") as file:
        # Mapped, so that the event loop never reads a file.
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    return lambda: int(time.time()) + int.from_bytes(offset[:8], "little", signed=True)


def main(environ: Mapping[str, str]) -> None:
    """Run spsd's command line on the appliance that the environment describes."""
    # Imported here, because the rest of the harness does not load the daemon.
    from spsd.cli import main as spsd  # noqa: PLC0415
    from spsd.clock import Clock  # noqa: PLC0415
    from spsd.system.host import Appliance, this_appliance  # noqa: PLC0415

    def appliance() -> Appliance:
        real = this_appliance()
        if BOOT not in environ:
            return real
        slot = environ.get(SLOT)
        return replace(real, boot_id=environ[BOOT], booted_slot=None if slot is None else int(slot))

    clock = environ.get(CLOCK)
    now = (lambda: int(time.time())) if clock is None else shifted_time(Path(clock))
    spsd(appliance=appliance, clock=Clock(now, time.monotonic))


if __name__ == "__main__":
    main(os.environ)
