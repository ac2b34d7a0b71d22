"""Start spsd on an appliance that is simulated: ``python -m spsd.testing.simulated serve …``.

The daemon is the real one. It is handed other facts than this machine's:

- ``SPSD_SIMULATED_CLOCK`` names a file of eight bytes, a little-endian signed number of seconds.
  It is added to the time of day from then on, and may be written while the daemon runs.
- ``SPSD_SIMULATED_BOOT`` is the kernel's name for the boot, and ``SPSD_SIMULATED_SLOT``, if there
  is one, the slot that the kernel's command line names.
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
    # In place: whoever has it mapped is to see it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)


def shifted_time(path: Path) -> Callable[[], int]:
    """Seconds since the epoch, with the offset of that file added at each call."""
    with path.open("rb") as file:
        # Mapped, so that to look at it is no reading of a file within the event loop.
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    return lambda: int(time.time()) + int.from_bytes(offset[:8], "little", signed=True)


def main(environ: Mapping[str, str]) -> None:
    """Run spsd's command line on the appliance that the environment describes."""
    # Here and not above: the rest of the harness is loaded without the daemon.
    from spsd.cli import main as spsd  # noqa: PLC0415
    from spsd.clock import Clock  # noqa: PLC0415
    from spsd.system.host import Appliance, this_appliance  # noqa: PLC0415

    def appliance() -> Appliance:
        here = this_appliance()
        if BOOT not in environ:
            return here
        slot = environ.get(SLOT)
        return replace(here, boot_id=environ[BOOT], booted_slot=None if slot is None else int(slot))

    clock = environ.get(CLOCK)
    now = (lambda: int(time.time())) if clock is None else shifted_time(Path(clock))
    spsd(appliance=appliance, clock=Clock(now, time.monotonic))


if __name__ == "__main__":
    main(os.environ)
