"""Start spsd in a boot of the test's choosing: ``python -m tests.daemon.rebooting serve …``.

``SPSD_TEST_BOOT_ID`` is the kernel's name for the boot, and ``SPSD_TEST_BOOTED_SLOT``, if it is
set, the slot on its command line. Nothing of this is in the product.
"""

import os

import spsd.daemon
from spsd.__main__ import main

if __name__ == "__main__":
    boot_id = os.environ["SPSD_TEST_BOOT_ID"]
    named = os.environ.get("SPSD_TEST_BOOTED_SLOT")
    spsd.daemon.boot_id = lambda: boot_id
    spsd.daemon.booted_slot = lambda: None if named is None else int(named)
    main()
