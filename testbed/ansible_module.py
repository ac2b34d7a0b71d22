"""Run a module of the collection by itself: ``python -m testbed.ansible_module NAME OPTIONS``.

OPTIONS is a JSON object; `_check` and `_diff` in it are Ansible's own switches.
"""

import json
import runpy
import sys
from typing import Any

from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.spsd.appliance.plugins.modules"


def run(name: str, options: dict[str, Any]) -> None:
    """Run the module in this process: it prints its result as JSON.

    Raises:
        SystemExit: the module has ended, as every Ansible module does.
    """
    switches = {
        "_ansible_check_mode": options.pop("_check", False),
        "_ansible_diff": options.pop("_diff", False),
    }
    with patch_module_args(options | switches):
        runpy.run_module(f"{MODULES}.{name}", {}, "__main__")


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]))
