#!/usr/bin/python
"""Desired state: downloads are cancelled, or have no record."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_download
short_description: Cancel downloads of an appliance, and remove their records
version_added: 0.1.0
description:
  - Cancels downloads, or removes their records. An installed image stays in its slot.
options:
  key:
    description: The key of one download.
    type: str
  status:
    description: All downloads with one of these statuses.
    type: list
    elements: str
    choices: [queued, in-progress, finished, failed, cancelled]
  state:
    description:
      - With V(cancelled), queued and running downloads are cancelled. Downloads that have ended are not changed, also
        if one ends before it can be cancelled.
      - With V(absent), the records are removed; queued and running downloads are cancelled first.
    type: str
    choices: [cancelled, absent]
    required: true
  timeout:
    description:
      - The longest time, in seconds, to wait for an image that is being installed, since an installation cannot be
        cancelled.
      - After the installation, O(state=absent) removes the record.
    type: int
    default: 60
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
notes:
  - A O(key) without a download is no failure; the state is V(absent) then.
"""

EXAMPLES = r"""
- name: Remove the records of all downloads that have ended
  spsd.appliance.firmware_download:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    status: [finished, failed, cancelled]
    state: absent
  delegate_to: localhost

- name: Cancel all queued and running downloads
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
  description: The keys of the changed downloads; in check mode, of those that would be changed.
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
    FETCH,
    FINAL,
    MUTUALLY_EXCLUSIVE,
    ApplianceError,
    open_session,
)


def main():
    """Entry point of the module."""
    module = AnsibleModule(
        dict(
            ARGUMENTS,
            key={"type": "str", "no_log": False},  # an identifier, no secret
            status={"type": "list", "elements": "str", "choices": list(ACTIVE + FINAL)},
            state={"type": "str", "choices": ["cancelled", "absent"], "required": True},
            timeout={"type": "int", "default": 60},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*MUTUALLY_EXCLUSIVE, ("key", "status")],
        required_one_of=[("key", "status")],
    )
    with open_session(module) as appliance:
        goal = module.params["state"]
        affected = [
            item
            for item in appliance.get(FETCH)["items"]
            if is_selected(item, module.params)
            and (goal == "absent" or item["body"]["status"] in ACTIVE)
        ]
        if not module.check_mode:
            for item in affected:
                cancel_or_remove(appliance, item["key"], goal, module.params["timeout"])
        before = ["{} {}\n".format(item["key"], item["body"]["status"]) for item in affected]
        after = ["{} {}\n".format(item["key"], goal) for item in affected]
        module.exit_json(
            changed=bool(affected),
            downloads=[item["key"] for item in affected],
            diff={"before": "".join(before), "after": "".join(after)},
        )


def is_selected(item, params):
    """Whether O(key) or O(status) selects this download."""
    if params["key"] is not None:
        return item["key"] == params["key"]
    return item["body"]["status"] in params["status"]


def cancel_or_remove(appliance, key, goal, timeout):
    """Bring one download to the state ``goal``, C(cancelled) or C(absent)."""
    path = f"{FETCH}/{key}"
    deadline = time.monotonic() + timeout
    while True:
        try:
            # DELETE would remove the record of a download that has ended.
            if goal == "cancelled" and appliance.get(path)["body"]["status"] in FINAL:
                return
            appliance.request("DELETE", path)
        except ApplianceError as error:
            if error.status == 404:
                return
            # 409: the image is being installed, which takes moments.
            if error.status != 409 or time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
