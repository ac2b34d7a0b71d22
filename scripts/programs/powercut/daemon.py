"""The daemon for power cuts: with small sync windows, so that a small image has several.

python -m scripts.programs.powercut.daemon serve --config FILE
"""

import os
from typing import Final

from spsd.cli import main
from spsd.limits import Limits
from spsd.system.host import Appliance

BLOCK: Final = 16 * 1024
SYNC_WINDOW: Final = 4 * BLOCK
LIMITS: Final = Limits(sync_window_bytes=SYNC_WINDOW, block_bytes=BLOCK)
BOOT: Final = "SPSD_POWERCUT_BOOT"


def appliance(boot_id: str) -> Appliance:
    """The facts of a host that do not depend on this machine; no boot loader names a slot."""
    return Appliance(boot_id=boot_id, booted_slot=None, host_name="appliance")


if __name__ == "__main__":
    main(appliance=lambda: appliance(os.environ[BOOT]), limits=LIMITS)
