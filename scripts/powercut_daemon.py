"""The daemon as the power cuts see it: small windows, so that a small image has many.

python -m scripts.powercut_daemon serve --config FILE
"""

import os
from functools import partial

import spsd.daemon
from spsd.__main__ import main
from spsd.adapters.staging import StagingDirectory

BLOCK = 16 * 1024
SYNC_WINDOW = 4 * BLOCK


def shrink() -> None:
    """Make blocks and windows small in this process."""
    spsd.daemon.StagingDirectory = partial(StagingDirectory, sync_window=SYNC_WINDOW, block=BLOCK)


if __name__ == "__main__":
    shrink()
    boot = os.environ["SPSD_POWERCUT_BOOT"]
    spsd.daemon.boot_id = lambda: boot
    spsd.daemon.booted_slot = lambda: None
    main()
