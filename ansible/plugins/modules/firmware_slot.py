#!/usr/bin/python
"""Desired state: a slot is empty."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_slot
short_description: Take an image out of its firmware slot
version_added: 0.1.0
description:
  - Makes sure that a slot is empty, or that no slot holds an image.
  - The image that runs now or after the next reboot stays, and so does one that is about to be used; the task fails then.
options:
  slot:
    description: The slot that is to be empty.
    type: int
  sha256:
    description: The SHA-256 of the image that no slot is to hold.
    type: str
  state:
    description: There is nothing but V(absent); M(spsd.appliance.firmware_fetch) fills slots.
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
- name: Make room
  spsd.appliance.firmware_slot:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    slot: 1
    state: absent
  delegate_to: localhost

- name: Nobody is to boot that image again
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
  description: The slots that were emptied, as they were; in check mode those that would be.
  returned: success
  type: list
  elements: dict
  sample: [{slot: 1, version: 2.4.0}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    EXCLUSIVE,
    SLOTS,
    ApplianceError,
    session,
    sha256_of,
    slot_facts,
    slots,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        dict(
            ARGUMENTS,
            slot={"type": "int"},
            sha256={"type": "str"},
            state={"type": "str", "choices": ["absent"], "default": "absent"},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*EXCLUSIVE, ("slot", "sha256")],
        required_one_of=[("slot", "sha256")],
    )
    with session(module) as appliance:
        full = [slot_facts(item) for item in chosen(appliance, module.params) if item["body"]]
        for one in full:
            if one["current"] or one["after_reboot"]:
                when = "now" if one["current"] else "after the next reboot"
                raise ApplianceError(
                    f"{appliance.url}: slot {one['slot']} holds the firmware that runs {when}"
                )
        if not module.check_mode:
            for one in full:
                appliance.ask("DELETE", f"{SLOTS}/{one['slot']}")
        before = [f"slot {one['slot']}: {one['version']}\n" for one in full]
        after = [f"slot {one['slot']}: empty\n" for one in full]
        module.exit_json(
            changed=bool(full),
            emptied=full,
            diff={"before": "".join(before), "after": "".join(after)},
        )


def chosen(appliance, params):
    """The slots that the options name."""
    items = slots(appliance)["items"]
    if params["sha256"] is not None:
        sha256 = sha256_of(params["sha256"])
        return [one for one in items if (one["manifest"] or {}).get("sha256") == sha256]
    found = [one for one in items if one["key"] == str(params["slot"])]
    if not found:
        raise ApplianceError(
            f"{appliance.url} has no slot {params['slot']}; there are slots 1 to {len(items)}"
        )
    return found


if __name__ == "__main__":
    main()
