#!/usr/bin/python
"""Desired state: the appliance runs the image of a slot."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_upgrade
short_description: Have an appliance run the firmware of a slot
version_added: 0.1.0
description:
  - Tests the slot, chooses it for the next boot, has the appliance restarted, and waits until that firmware runs.
  - A slot that fails its test changes nothing, and the task says which check it was.
  - Nothing is done if that firmware runs already, and is what runs after the next reboot.
options:
  slot:
    description: The slot to run.
    type: int
  sha256:
    description: The SHA-256 of the image to run, in whichever slot it is.
    type: str
  reason:
    description: Why; it goes to the appliance's log with the user's name.
    type: str
  wait:
    description:
      - Whether to wait until the firmware runs.
      - Without it the task is about the choice for the next boot. It is done when the slot is chosen, and there is
        nothing to do if it was.
    type: bool
    default: true
  timeout:
    description:
      - Seconds to wait for the firmware to run, at most. An appliance that goes away meanwhile is waited for.
      - An appliance that is not told how to restart itself (C([upgrade] reboot_command)) has to be restarted by
        somebody else within this time.
    type: int
    default: 900
  image_to_come:
    description:
      - In check mode, whether a task before this one is going to bring the image of O(sha256), so that no slot holds it
        yet. The answer is that it will be changed then, and nothing can be tested.
      - It means nothing outside of check mode.
    type: bool
    default: false
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
notes:
  - Check mode has the slot tested, which changes nothing, and so tells of an upgrade that would be refused.
  - If that firmware runs already and another one was chosen, the choice is taken back, and nobody waits for the
    restart that may follow.
  - The boot loader may fall back to another slot. That shows as a firmware that does not run in time; the
    message names the one that does.
seealso:
  - module: spsd.appliance.firmware_fetch
"""

EXAMPLES = r"""
- name: That image runs
  spsd.appliance.firmware_upgrade:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    reason: change 4711
  delegate_to: localhost

- name: Slot 2 is the next to boot, whenever that is
  spsd.appliance.firmware_upgrade:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    slot: 2
    wait: false
  delegate_to: localhost
"""

RETURN = r"""
slot:
  description: The slot; null in check mode if the image is to come.
  returned: success
  type: int
  sample: 2
version:
  description: The version of its image.
  returned: success
  type: str
  sample: 2.5.0
previous:
  description: The slot that ran before, as M(spsd.appliance.firmware_slot_info) shows it; null if nobody knew.
  returned: success
  type: dict
test_summary:
  description: A line for each check of the test.
  returned: when the slot was tested
  type: str
details:
  description: Of a test that failed, C(check) is the first check that did, and C(test_summary) the whole account.
  returned: when the appliance refuses
  type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    EXCLUSIVE,
    POLL_S,
    TEST,
    UPGRADE,
    ApplianceError,
    holding,
    is_passing,
    marked,
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
            reason={"type": "str"},
            wait={"type": "bool", "default": True},
            timeout={"type": "int", "default": 900},
            image_to_come={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*EXCLUSIVE, ("slot", "sha256")],
        required_one_of=[("slot", "sha256")],
    )
    with session(module) as appliance:
        module.exit_json(**upgraded(module, appliance))


def upgraded(module, appliance):
    """Do it; gives what is returned."""
    before = slots(appliance)
    previous = marked(before, "current")
    if is_to_come(module, before):
        return {"changed": True, "slot": None, "version": None, "previous": previous}
    target = slot_facts(wanted(appliance, before, module.params))
    told = {"slot": target["slot"], "version": target["version"], "previous": previous}
    chosen = target["after_reboot"]
    if chosen and (target["current"] or not module.params["wait"]):
        return dict(told, changed=False)
    order = {"slot_id": target["slot"]}
    tested = appliance.ask("POST", TEST, order, slowly=True)
    told["test_summary"] = tested["body"]["test_summary"]
    what = "runs" if module.params["wait"] else "runs after the next reboot"
    now = previous if module.params["wait"] else marked(before, "after_reboot")
    told["diff"] = {
        "before": f"{_named(now)} {what}\n",
        "after": f"{_named(target)} {what}\n",
    }
    if not module.check_mode:
        if module.params["reason"] is not None:
            order["message"] = module.params["reason"]
        appliance.ask("POST", UPGRADE, order, slowly=True)
        if module.params["wait"]:
            until_it_runs(module, appliance, target)
    return dict(told, changed=True)


def is_to_come(module, document):
    """Whether another task would have brought the image, if this were no check."""
    params = module.params
    if not (module.check_mode and params["image_to_come"] and params["sha256"] is not None):
        return False
    return holding(document, sha256_of(params["sha256"])) is None


def wanted(appliance, document, params):
    """The slot that the options name, with its image."""
    if params["sha256"] is not None:
        item = holding(document, sha256_of(params["sha256"]))
        if item is None:
            what = f"no slot holds {params['sha256']}; spsd.appliance.firmware_fetch brings it"
            raise ApplianceError(f"{appliance.url}: {what}")
        return item
    found = [one for one in document["items"] if one["key"] == str(params["slot"])]
    if not found or not found[0]["body"]:
        what = f"slot {params['slot']} is empty" if found else f"there is no slot {params['slot']}"
        raise ApplianceError(f"{appliance.url}: {what}")
    return found[0]


def until_it_runs(module, appliance, target):
    """Wait for the slot to run."""
    deadline = time.monotonic() + module.params["timeout"]
    while True:
        try:
            seen = marked(slots(appliance, manifests=False), "current")
            if seen is not None and seen["slot"] == target["slot"]:
                return
            why = f"{appliance.url}: {_named(seen)} runs"
        except ApplianceError as error:
            if not is_passing(error):
                raise
            why = str(error)
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(POLL_S, left))
    raise ApplianceError(
        f"{why}, and not {_named(target)}, {module.params['timeout']} s after it was chosen: "
        "did it restart, and did the boot loader fall back?"
    )


def _named(slot):
    if slot is None:
        return "a slot that nobody knows"
    return f"slot {slot['slot']} ({slot['version']})"


if __name__ == "__main__":
    main()
