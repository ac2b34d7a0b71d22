#!/usr/bin/python
"""What is in the slots."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_slot_info
short_description: Look at the firmware slots of an appliance
version_added: 0.1.0
description:
  - Tells what each slot holds, which one runs, and which one runs after the next reboot.
options:
  slot:
    description: Only this one.
    type: int
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes_info
author:
  - The authors of spsd (@spsd)
"""

EXAMPLES = r"""
- name: Look at the slots
  spsd.appliance.firmware_slot_info:
    api_url: https://appliance-7.lab.example:8443
    username: reader
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
  delegate_to: localhost
  register: firmware

- name: The right image runs
  ansible.builtin.assert:
    that: firmware.running.sha256 == firmware_sha256
"""

RETURN = r"""
slots:
  description: Every slot, empty ones too, by its number.
  returned: success
  type: list
  elements: dict
  contains:
    slot: {description: The slot's number., type: int}
    empty: {description: Whether it holds nothing., type: bool}
    version: {description: The image's version., type: str}
    current: {description: Whether it runs now., type: bool}
    after_reboot: {description: Whether it runs after the next reboot., type: bool}
    upgrade_notes: {description: The image's upgrade notes., type: str}
    upgrade_news: {description: What matters for the upgrade., type: str}
    sha256: {description: The image's digest; null where the server does not tell., type: str}
    size: {description: The image's length in bytes., type: int}
    installed_at: {description: "When it was installed, as ISO 8601.", type: str}
    job: {description: The key of the download that brought it; null for an upload., type: str}
running:
  description: The one that runs now; null if nobody knows which.
  returned: success
  type: dict
after_reboot:
  description: The one that runs after the next reboot; null if nobody knows which.
  returned: success
  type: dict
empty_slots:
  description: How many are empty.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    EXCLUSIVE,
    ApplianceError,
    marked,
    session,
    slot_facts,
    slots,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        dict(ARGUMENTS, slot={"type": "int"}),
        supports_check_mode=True,
        mutually_exclusive=EXCLUSIVE,
    )
    with session(module) as appliance:
        document = slots(appliance)
        every = [slot_facts(item) for item in document["items"]]
        wanted = module.params["slot"]
        shown = [one for one in every if wanted in (None, one["slot"])]
        if not shown:
            raise ApplianceError(
                f"{appliance.url} has no slot {wanted}; there are slots 1 to {len(every)}"
            )
        module.exit_json(
            changed=False,
            slots=shown,
            running=marked(document, "current"),
            after_reboot=marked(document, "after_reboot"),
            empty_slots=document["meta"]["number_of_empty_slots"],
        )


if __name__ == "__main__":
    main()
