#!/usr/bin/python
"""Desired state: a slot is empty."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_slot
short_description: Empty a firmware slot
version_added: 0.1.0
description:
  - Makes sure that a slot is empty, or that no slot contains an image.
  - The image that runs now or after the next reboot cannot be removed, nor one that is in use; the task fails then.
options:
  slot:
    description: The slot to empty.
    type: int
  sha256:
    description: The SHA-256 of the image to remove from every slot.
    type: str
  state:
    description: The only choice is V(absent); M(spsd.appliance.firmware_fetch) installs images.
    type: str
    choices: [absent]
    default: absent
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
"""

EXAMPLES = r"""
- name: Empty slot 1
  spsd.appliance.firmware_slot:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    slot: 1
    state: absent
  delegate_to: localhost

- name: Remove an image from every slot
  spsd.appliance.firmware_slot:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
emptied:
  description: The emptied slots with their former contents; in check mode, those that would be emptied.
  returned: success
  type: list
  elements: dict
  sample: [{slot: 1, version: 2.4.0}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    MUTUALLY_EXCLUSIVE,
    SLOTS,
    ApplianceError,
    get_slots,
    open_session,
    parse_sha256,
    slot_facts,
)


def main():
    """Entry point of the module."""
    module = AnsibleModule(
        dict(
            ARGUMENTS,
            slot={"type": "int"},
            sha256={"type": "str"},
            state={"type": "str", "choices": ["absent"], "default": "absent"},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*MUTUALLY_EXCLUSIVE, ("slot", "sha256")],
        required_one_of=[("slot", "sha256")],
    )
    with open_session(module) as appliance:
        items = select_slots(appliance, module.params)
        occupied = [slot_facts(item) for item in items if item["body"]]
        for slot in occupied:
            if slot["current"] or slot["after_reboot"]:
                when = "now" if slot["current"] else "after the next reboot"
                raise ApplianceError(
                    f"{appliance.url}: slot {slot['slot']} contains the firmware that runs {when}"
                )
        if not module.check_mode:
            for slot in occupied:
                appliance.request("DELETE", f"{SLOTS}/{slot['slot']}")
        before = [f"slot {slot['slot']}: {slot['version']}\n" for slot in occupied]
        after = [f"slot {slot['slot']}: empty\n" for slot in occupied]
        module.exit_json(
            changed=bool(occupied),
            emptied=occupied,
            diff={"before": "".join(before), "after": "".join(after)},
        )


def select_slots(appliance, params):
    """The items of the slots that the options select; raises C(ApplianceError)."""
    items = get_slots(appliance)["items"]
    if params["sha256"] is not None:
        sha256 = parse_sha256(params["sha256"])
        return [item for item in items if (item["manifest"] or {}).get("sha256") == sha256]
    found = [item for item in items if item["key"] == str(params["slot"])]
    if not found:
        raise ApplianceError(
            f"{appliance.url} has no slot {params['slot']}; there are slots 1 to {len(items)}"
        )
    return found


if __name__ == "__main__":
    main()
