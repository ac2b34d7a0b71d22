"""Start spsd on an appliance that is simulated: ``python -m spsd.testing.simulated serve …``.

The daemon is the real one and knows nothing of this. Two things that a test cannot have for real
are put in their places before it is loaded:

- ``SPSD_SIMULATED_CLOCK`` names a file of eight bytes, a little-endian signed number of seconds.
  It is added to ``time.time()`` from then on, and may be written while the daemon runs.
- ``SPSD_SIMULATED_BOOT`` is the kernel's name for the boot, and ``SPSD_SIMULATED_SLOT``, if there
  is one, the slot that the kernel's command line names.
"""

import importlib
import mmap
import os
import runpy
import time
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


def _simulate_clock(path: Path) -> None:
    real = time.time
    with path.open("rb") as file:
        # Mapped, so that to look at it is no reading of a file within the event loop.
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    time.time = lambda: real() + int.from_bytes(offset[:8], "little", signed=True)


def _simulate_boot(boot_id: str, slot: str | None) -> None:
    # By name: the harness is loaded without the daemon everywhere else.
    kernel = importlib.import_module("spsd.adapters.boot")
    named = None if slot is None else int(slot)
    vars(kernel).update(boot_id=lambda: boot_id, booted_slot=lambda: named)


if __name__ == "__main__":
    if (clock := os.environ.get(CLOCK)) is not None:
        _simulate_clock(Path(clock))
    if (boot := os.environ.get(BOOT)) is not None:
        _simulate_boot(boot, os.environ.get(SLOT))
    runpy.run_module("spsd", run_name="__main__", alter_sys=True)
