#!/usr/bin/python
"""Reads the slots of an appliance."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_slot_info
short_description: Read the firmware slots of an appliance
version_added: 0.1.0
description:
  - Returns the image in each slot, the running slot, and the slot that runs after the next reboot.
options:
  slot:
    description: Return only this slot in RV(slots).
    type: int
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes_info
author:
  - The authors of spsd (@spsd)
"""

EXAMPLES = r"""
- name: Read the slots
  spsd.appliance.firmware_slot_info:
    api_url: https://appliance-7.lab.example:8443
    username: reader
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
  delegate_to: localhost
  register: firmware

- name: Verify that the expected image runs
  ansible.builtin.assert:
    that: firmware.running.sha256 == firmware_sha256
"""

RETURN = r"""
slots:
  description: All slots, also empty ones, in order of their numbers.
  returned: success
  type: list
  elements: dict
  contains:
    slot: {description: The slot's number., type: int}
    empty: {description: Whether the slot is empty., type: bool}
    version: {description: The image's version., type: str}
    current: {description: Whether the slot runs now., type: bool}
    after_reboot: {description: Whether the slot runs after the next reboot., type: bool}
    upgrade_notes: {description: The image's upgrade notes., type: str}
    upgrade_news: {description: The image's upgrade news., type: str}
    sha256: {description: The image's digest; null if the server does not provide it., type: str}
    size: {description: The image's length in bytes., type: int}
    installed_at: {description: "When it was installed, as ISO 8601.", type: str}
    job: {description: The key of the download that installed the image; null for an upload., type: str}
running:
  description: The slot that runs now; null if it is not known.
  returned: success
  type: dict
after_reboot:
  description: The slot that runs after the next reboot; null if it is not known.
  returned: success
  type: dict
empty_slots:
  description: The number of empty slots.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    MUTUALLY_EXCLUSIVE,
    ApplianceError,
    find_marked_slot,
    get_slots,
    open_session,
    slot_facts,
)


def main():
    """Entry point of the module."""
    module = AnsibleModule(
        dict(ARGUMENTS, slot={"type": "int"}),
        supports_check_mode=True,
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
    )
    with open_session(module) as appliance:
        document = get_slots(appliance)
        all_slots = [slot_facts(item) for item in document["items"]]
        number = module.params["slot"]
        selected = [slot for slot in all_slots if number in (None, slot["slot"])]
        if not selected:
            raise ApplianceError(
                f"{appliance.url} has no slot {number}; there are slots 1 to {len(all_slots)}"
            )
        module.exit_json(
            changed=False,
            slots=selected,
            running=find_marked_slot(document, "current"),
            after_reboot=find_marked_slot(document, "after_reboot"),
            empty_slots=document["meta"]["number_of_empty_slots"],
        )


if __name__ == "__main__":
    main()
