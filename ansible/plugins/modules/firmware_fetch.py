#!/usr/bin/python
"""Desired state: an image is in a slot of the appliance."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_fetch
short_description: Have an image fetched into a firmware slot
version_added: 0.1.0
description:
  - Makes sure that a slot of the appliance holds the image with this SHA-256. The appliance fetches it from O(url),
    proves its digest, and installs it into the lowest empty slot.
  - Nothing is done if a slot holds that image already, wherever it came from.
  - The running firmware stays what it is; M(spsd.appliance.firmware_upgrade) changes that.
options:
  url:
    description:
      - Where the appliance finds the image, by http or https.
      - A user and a password in it are sent to the origin. They are not hidden in Ansible's output; use C(no_log) then.
    type: str
    required: true
  sha256:
    description: The image's SHA-256, 64 hexadecimal digits. It is the name of the image, and the only proof of it.
    type: str
    required: true
  mirrors:
    description: Other URLs of the same image, which are asked when O(url) fails; 16 at most.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Whether to wait until the image is in its slot.
      - Without it the task is done when the appliance has accepted the download, durably, and fails only if it does not.
    type: bool
    default: true
  timeout:
    description:
      - Seconds to wait at most. What happens to the download then is decided by O(on_timeout).
      - An appliance that goes away meanwhile is waited for.
    type: int
    default: 3600
  on_timeout:
    description: Whether a download that takes too long goes on (V(leave)), or is given up (V(cancel)).
    type: str
    choices: [leave, cancel]
    default: leave
extends_documentation_fragment:
  - spsd.appliance.api
  - spsd.appliance.api.attributes
author:
  - The authors of spsd (@spsd)
notes:
  - A module that is interrupted (SIGINT, SIGTERM, SIGHUP) while it waits cancels the download that it has started.
    Over SSH no signal reaches it; with C(connection=local) Ctrl-C does.
seealso:
  - module: spsd.appliance.firmware_upgrade
  - module: spsd.appliance.firmware_download
"""

EXAMPLES = r"""
- name: The image is in a slot
  spsd.appliance.firmware_fetch:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    fingerprint: "{{ spsd_fingerprint }}"
    url: http://cache.lab.example:8080/appliance-2.iso
    mirrors:
      - https://images.example.org/appliance-2.iso
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  delegate_to: localhost

- name: Start it, and look later
  spsd.appliance.firmware_fetch:
    api_url: https://appliance-7.lab.example:8443
    username: fleet
    password: "{{ vault_spsd_password }}"
    ca_file: /etc/spsd/lab-ca.pem
    url: https://images.example.org/appliance-2.iso
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    wait: false
"""

RETURN = r"""
slot:
  description: The slot that holds the image; null in check mode, and while the download goes on.
  returned: success
  type: int
  sample: 2
version:
  description: The image's version, as it says itself.
  returned: when the image is in a slot
  type: str
  sample: 2.5.0
sha256:
  description: The image's digest, in lower case.
  returned: always
  type: str
key:
  description: The key of the download, if there was one.
  returned: when a download was started
  type: str
  sample: 6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21
download:
  description: The download as it was seen last, with the members that the API has.
  returned: when a download was started
  type: dict
code:
  description: The stable code of the failure, such as V(disk_full) or V(digest); docs/failures.md of spsd has them all.
  returned: when the download failed
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    EXCLUSIVE,
    FETCH,
    OVER,
    ApplianceError,
    Interrupted,
    Interrupts,
    failures_of,
    holding,
    is_passing,
    pauses,
    session,
    sha256_of,
    slots,
)

ARGUMENT_SPEC = dict(
    ARGUMENTS,
    url={"type": "str", "required": True},
    sha256={"type": "str", "required": True},
    mirrors={"type": "list", "elements": "str", "default": []},
    wait={"type": "bool", "default": True},
    timeout={"type": "int", "default": 3600},
    on_timeout={"type": "str", "choices": ["leave", "cancel"], "default": "leave"},
)


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True, mutually_exclusive=EXCLUSIVE)
    with session(module) as appliance:
        module.exit_json(**fetched(module, appliance))


def fetched(module, appliance):
    """Do it; gives what is returned."""
    sha256 = sha256_of(module.params["sha256"])
    before = slots(appliance)
    held = holding(before, sha256)
    if held is not None:
        version = held["body"]["version"]
        return {"changed": False, "slot": int(held["key"]), "version": version, "sha256": sha256}
    if before["meta"]["number_of_empty_slots"] == 0:
        raise ApplianceError(
            f"{appliance.url} has no empty slot for the image: take one out with "
            "spsd.appliance.firmware_slot"
        )
    told = {"changed": True, "slot": None, "sha256": sha256}
    diff = {
        "before": f"no slot holds {sha256}\n",
        "after": f"a slot holds {sha256}\n",
    }
    if module.check_mode:
        return dict(told, diff=diff)
    with failures_of(module, told):
        told["download"] = brought(module, appliance, sha256, told)
    if not module.params["wait"]:
        return dict(told, diff=diff)
    if told["download"]["status"] != "finished":
        ended, error = told["download"]["status"], told["download"]["error"]
        told["code"] = error.partition(":")[0] if error else None
        why = error or "somebody cancelled it"
        module.fail_json(f"{appliance.url}: the download of {sha256} has {ended}: {why}", **told)
    told["slot"] = told["download"]["slot_id"]
    version = version_in(appliance, told["slot"])
    return dict(told, version=version, diff=diff)


def brought(module, appliance, sha256, told):
    """Ask for the image, and wait if that is wanted; gives the download as it is then.

    Its key is put into C(told) as soon as it is known. It is cancelled if the module is interrupted.
    """
    order = {"url": module.params["url"], "checksum": {"sha256": sha256}}
    if module.params["mirrors"]:
        order["mirrors"] = module.params["mirrors"]
    try:
        with Interrupts() as interrupts:
            with interrupts.held():
                told["key"] = appliance.ask("POST", FETCH, order)["key"]
            path = f"{FETCH}/{told['key']}"
            if not module.params["wait"]:
                return appliance.get(path)["body"]
            return over(module, appliance, path)
    except Interrupted as error:
        what = cancelled(appliance, f"{FETCH}/{told['key']}")
        raise ApplianceError(f"{appliance.url}: {error}; the download {what}") from error


def over(module, appliance, path):
    """The download once it is over, or a failure when the time is up."""
    deadline = time.monotonic() + module.params["timeout"]
    revision, body, gone = None, {}, ""
    for pause in pauses():
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            document, revision = appliance.changed(path, revision, left)
            body, gone = document["body"], ""
        except ApplianceError as error:
            if not is_passing(error):
                raise
            revision, gone = None, f"; {error}"
        if body.get("status") in OVER:
            return body
        time.sleep(min(pause, left))
    what = cancelled(appliance, path) if module.params["on_timeout"] == "cancel" else "goes on"
    seen = (
        f"{body['status']}, {body['bytes_downloaded']} of {body['bytes_total']} bytes"
        if body
        else "not seen"
    )
    raise ApplianceError(
        f"{appliance.url}: the download is not over after {module.params['timeout']} s ({seen}); "
        f"it {what}{gone}"
    )


def version_in(appliance, slot):
    """The version of the image in the slot."""
    items = slots(appliance, manifests=False)["items"]
    return next(one["body"].get("version") for one in items if one["key"] == str(slot))


def cancelled(appliance, path):
    """Cancel the download; gives what became of it, in words."""
    try:
        appliance.ask("DELETE", path)
    except ApplianceError as error:
        return f"could not be cancelled: {error}"
    return "is cancelled"


if __name__ == "__main__":
    main()
