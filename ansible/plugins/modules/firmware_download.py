#!/usr/bin/python
"""Desired state: a download is cancelled, or there is no record of it."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_download
short_description: Cancel downloads of an appliance, and remove their records
version_added: 0.1.0
description:
  - Cancels a download, or removes the records of downloads that are over. An image stays in its slot.
options:
  key:
    description: The key of one download.
    type: str
  status:
    description: Every download that stands so.
    type: list
    elements: str
    choices: [queued, in-progress, finished, failed, cancelled]
  state:
    description:
      - With V(cancelled) the downloads are under way no longer; those that are over stay as they are, and so does
        one that comes to its end before it can be cancelled.
      - With V(absent) there are no records of them; those that are under way are cancelled first.
    type: str
    choices: [cancelled, absent]
    required: true
  timeout:
    description:
      - Seconds to wait at most for an image that is being installed just then, which nothing can cancel.
      - It is over then, and with O(state=absent) its record is removed.
    type: int
    default: 60
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
notes:
  - There may be no download with that O(key) any more; that is V(absent), and no failure.
"""

EXAMPLES = r"""
- name: Tidy up
  spsd.appliance.firmware_download:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    status: [finished, failed, cancelled]
    state: absent
  delegate_to: localhost

- name: Stop whatever is under way
  spsd.appliance.firmware_download:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    status: [queued, in-progress]
    state: cancelled
  delegate_to: localhost
"""

RETURN = r"""
downloads:
  description: The keys of the downloads that were changed; in check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21]
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ACTIVE,
    ARGUMENTS,
    EXCLUSIVE,
    FETCH,
    OVER,
    ApplianceError,
    session,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        dict(
            ARGUMENTS,
            key={"type": "str", "no_log": False},  # it names a download, and opens nothing
            status={"type": "list", "elements": "str", "choices": list(ACTIVE + OVER)},
            state={"type": "str", "choices": ["cancelled", "absent"], "required": True},
            timeout={"type": "int", "default": 60},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*EXCLUSIVE, ("key", "status")],
        required_one_of=[("key", "status")],
    )
    with session(module) as appliance:
        goal = module.params["state"]
        todo = [
            item
            for item in appliance.get(FETCH)["items"]
            if chosen(item, module.params)
            and (goal == "absent" or item["body"]["status"] in ACTIVE)
        ]
        if not module.check_mode:
            for item in todo:
                change(appliance, item["key"], goal, module.params["timeout"])
        before = ["{} {}\n".format(item["key"], item["body"]["status"]) for item in todo]
        after = ["{} {}\n".format(item["key"], goal) for item in todo]
        module.exit_json(
            changed=bool(todo),
            downloads=[item["key"] for item in todo],
            diff={"before": "".join(before), "after": "".join(after)},
        )


def chosen(item, params):
    """Whether the options name this download."""
    if params["key"] is not None:
        return item["key"] == params["key"]
    return item["body"]["status"] in params["status"]


def change(appliance, key, goal, timeout):
    """Make it so."""
    path = f"{FETCH}/{key}"
    deadline = time.monotonic() + timeout
    while True:
        try:
            # A cancelled download is one that is over; DELETE would remove its record.
            if goal == "cancelled" and appliance.get(path)["body"]["status"] in OVER:
                return
            appliance.ask("DELETE", path)
        except ApplianceError as error:
            if error.status == 404:
                return
            # It is being installed, a matter of moments.
            if error.status != 409 or time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
