#!/usr/bin/python
"""Desired state: the appliance runs the image of a slot."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_upgrade
short_description: Upgrade an appliance to the firmware in a slot
version_added: 0.1.0
description:
  - Tests the slot, selects it for the next boot, restarts the appliance, and waits until that firmware runs.
  - If the test of the slot fails, nothing is changed, and the task fails with the name of the check.
  - Changes nothing if that firmware runs already, and is selected for the next boot.
options:
  slot:
    description: The slot to run.
    type: int
  sha256:
    description: The SHA-256 of the image to run, in any slot.
    type: str
  reason:
    description: The reason for the upgrade; the appliance logs it with the user's name.
    type: str
  wait:
    description:
      - Whether to wait until the firmware runs.
      - Otherwise the desired state is only that the slot is selected for the next boot.
    type: bool
    default: true
  timeout:
    description:
      - The longest time to wait for the firmware to run, in seconds. Requests are repeated while the appliance cannot
        be reached.
      - An appliance without a restart command (C([upgrade] reboot_command)) must be restarted by other means within
        this time.
    type: int
    default: 900
  image_to_come:
    description:
      - In check mode, whether an earlier task would have fetched the image of O(sha256), so that no slot contains it
        yet. The result is C(changed) then, without a test.
      - It has no effect outside of check mode.
    type: bool
    default: false
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
notes:
  - Check mode tests the slot, which changes nothing, so it fails for an upgrade that the appliance would reject.
  - If that firmware runs already and another slot is selected for the next boot, this slot is selected again, and the
    module does not wait for the restart that may follow.
  - The boot loader may fall back to another slot. The task fails after O(timeout) then, and its message names the
    slot that runs.
seealso:
  - module: spsd.appliance.firmware_fetch
"""

EXAMPLES = r"""
- name: Upgrade to an image
  spsd.appliance.firmware_upgrade:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    reason: change 4711
  delegate_to: localhost

- name: Select slot 2 for the next boot, without waiting
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
  description: The slot; null in check mode if no slot contains the image yet.
  returned: success
  type: int
  sample: 2
version:
  description: The version of its image.
  returned: success
  type: str
  sample: 2.5.0
previous:
  description: The slot that ran before, as M(spsd.appliance.firmware_slot_info) shows it; null if it was not known.
  returned: success
  type: dict
test_summary:
  description: The result of the test, a line for each check.
  returned: when the slot was tested
  type: str
details:
  description: For a failed test, C(check) is the first failed check, and C(test_summary) the result of all checks.
  returned: when the appliance returns an error with details
  type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    MUTUALLY_EXCLUSIVE,
    POLL_S,
    TEST,
    UPGRADE,
    ApplianceError,
    find_marked_slot,
    find_slot_with_image,
    get_slots,
    is_transient,
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
            reason={"type": "str"},
            wait={"type": "bool", "default": True},
            timeout={"type": "int", "default": 900},
            image_to_come={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
        mutually_exclusive=[*MUTUALLY_EXCLUSIVE, ("slot", "sha256")],
        required_one_of=[("slot", "sha256")],
    )
    with open_session(module) as appliance:
        module.exit_json(**ensure_running(module, appliance))


def ensure_running(module, appliance):
    """Bring the appliance to the desired state; the result of the module."""
    before = get_slots(appliance)
    previous = find_marked_slot(before, "current")
    if is_image_expected(module, before):
        return {"changed": True, "slot": None, "version": None, "previous": previous}
    target = slot_facts(select_slot(appliance, before, module.params))
    result = {"slot": target["slot"], "version": target["version"], "previous": previous}
    if target["after_reboot"] and (target["current"] or not module.params["wait"]):
        return dict(result, changed=False)
    body = {"slot_id": target["slot"]}
    tested = appliance.request("POST", TEST, body, slow=True)
    result["test_summary"] = tested["body"]["test_summary"]
    state = "runs" if module.params["wait"] else "runs after the next reboot"
    former = previous if module.params["wait"] else find_marked_slot(before, "after_reboot")
    result["diff"] = {
        "before": f"{_describe(former)} {state}\n",
        "after": f"{_describe(target)} {state}\n",
    }
    if not module.check_mode:
        if module.params["reason"] is not None:
            body["message"] = module.params["reason"]
        appliance.request("POST", UPGRADE, body, slow=True)
        if module.params["wait"]:
            wait_until_running(module, appliance, target)
    return dict(result, changed=True)


def is_image_expected(module, document):
    """Whether, outside of check mode, an earlier task would have fetched the image."""
    params = module.params
    if not (module.check_mode and params["image_to_come"] and params["sha256"] is not None):
        return False
    return find_slot_with_image(document, parse_sha256(params["sha256"])) is None


def select_slot(appliance, document, params):
    """The item of the slot that the options select; raises C(ApplianceError) if there is none."""
    if params["sha256"] is not None:
        item = find_slot_with_image(document, parse_sha256(params["sha256"]))
        if item is None:
            reason = f"no slot contains {params['sha256']}; install it with"
            raise ApplianceError(f"{appliance.url}: {reason} spsd.appliance.firmware_fetch")
        return item
    found = [item for item in document["items"] if item["key"] == str(params["slot"])]
    if not found or not found[0]["body"]:
        number = params["slot"]
        reason = f"slot {number} is empty" if found else f"there is no slot {number}"
        raise ApplianceError(f"{appliance.url}: {reason}")
    return found[0]


def wait_until_running(module, appliance, target):
    """Wait until the slot runs; raises C(ApplianceError) after O(timeout)."""
    deadline = time.monotonic() + module.params["timeout"]
    while True:
        try:
            running = find_marked_slot(get_slots(appliance, manifests=False), "current")
            if running is not None and running["slot"] == target["slot"]:
                return
            reason = f"{appliance.url}: {_describe(running)} runs"
        except ApplianceError as error:
            if not is_transient(error):
                raise
            reason = str(error)
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(POLL_S, left))
    raise ApplianceError(
        f"{reason}, not {_describe(target)}, {module.params['timeout']} s after the upgrade: check "
        "whether the appliance restarted, and whether its boot loader fell back"
    )


def _describe(slot):
    if slot is None:
        return "an unknown slot"
    return f"slot {slot['slot']} ({slot['version']})"


if __name__ == "__main__":
    main()
