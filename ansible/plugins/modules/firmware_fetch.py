#!/usr/bin/python
"""Desired state: a slot of the appliance contains an image."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_fetch
short_description: Fetch an image into a firmware slot
version_added: 0.1.0
description:
  - Makes sure that a slot of the appliance contains the image with this SHA-256. The appliance downloads it from
    O(url), verifies its digest, and installs it into the lowest empty slot.
  - Changes nothing if a slot contains that image already, from any source.
  - Does not change the running firmware; see M(spsd.appliance.firmware_upgrade).
options:
  url:
    description:
      - The http or https URL that the appliance downloads the image from.
      - A user and a password in it are sent to the origin. Ansible's output does not hide them; use C(no_log) then.
    type: str
    required: true
  sha256:
    description: The image's SHA-256, 64 hexadecimal digits. It identifies and verifies the image.
    type: str
    required: true
  mirrors:
    description: Other URLs of the same image, used when O(url) fails; 16 at most.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Whether to wait until the image is in its slot.
      - Otherwise the task ends when the appliance has stored the download durably, and fails only if it rejects it.
    type: bool
    default: true
  timeout:
    description:
      - The longest time to wait, in seconds. O(on_timeout) decides what happens to the download then.
      - Requests are repeated while the appliance cannot be reached.
    type: int
    default: 3600
  on_timeout:
    description: Whether a download that exceeds O(timeout) continues (V(leave)) or is cancelled (V(cancel)).
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
    With C(connection=local) Ctrl-C interrupts it; over SSH no signal reaches the module.
seealso:
  - module: spsd.appliance.firmware_upgrade
  - module: spsd.appliance.firmware_download
"""

EXAMPLES = r"""
- name: Fetch the image into a slot
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

- name: Start the download without waiting
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
  description: The slot that contains the image; null in check mode, and while the download is running.
  returned: success
  type: int
  sample: 2
version:
  description: The version that the image states.
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
  description: The last known state of the download, with the members of the API.
  returned: when a download was started
  type: dict
code:
  description: The stable code of the failure, such as V(disk_full) or V(digest); docs/failures.md of spsd lists all.
  returned: when the download failed
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.spsd.appliance.plugins.module_utils.appliance import (
    ARGUMENTS,
    FETCH,
    FINAL,
    MUTUALLY_EXCLUSIVE,
    ApplianceError,
    Interrupted,
    Interrupts,
    fail_on_error,
    find_slot_with_image,
    get_slots,
    is_transient,
    open_session,
    parse_sha256,
    poll_delays,
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
    """Entry point of the module."""
    module = AnsibleModule(
        ARGUMENT_SPEC, supports_check_mode=True, mutually_exclusive=MUTUALLY_EXCLUSIVE
    )
    with open_session(module) as appliance:
        module.exit_json(**ensure_fetched(module, appliance))


def ensure_fetched(module, appliance):
    """Bring the appliance to the desired state; the result of the module."""
    sha256 = parse_sha256(module.params["sha256"])
    before = get_slots(appliance)
    item = find_slot_with_image(before, sha256)
    if item is not None:
        version = item["body"]["version"]
        return {"changed": False, "slot": int(item["key"]), "version": version, "sha256": sha256}
    if before["meta"]["number_of_empty_slots"] == 0:
        raise ApplianceError(
            f"{appliance.url} has no empty slot for the image: empty one with "
            "spsd.appliance.firmware_slot"
        )
    result = {"changed": True, "slot": None, "sha256": sha256}
    diff = {
        "before": f"no slot contains {sha256}\n",
        "after": f"a slot contains {sha256}\n",
    }
    if module.check_mode:
        return dict(result, diff=diff)
    with fail_on_error(module, result):
        result["download"] = fetch_image(module, appliance, sha256, result)
    if not module.params["wait"]:
        return dict(result, diff=diff)
    if result["download"]["status"] != "finished":
        status, error = result["download"]["status"], result["download"]["error"]
        result["code"] = error.partition(":")[0] if error else None
        reason = error or "another client cancelled it"
        module.fail_json(
            f"{appliance.url}: the download of {sha256} ended as {status}: {reason}", **result
        )
    result["slot"] = result["download"]["slot_id"]
    version = get_version(appliance, result["slot"])
    return dict(result, version=version, diff=diff)


def fetch_image(module, appliance, sha256, result):
    """Start the download, and wait for its end with O(wait); the last state of the download.

    C(result["key"]) is set as soon as the key is known. An interrupt cancels the download.
    """
    body = {"url": module.params["url"], "checksum": {"sha256": sha256}}
    if module.params["mirrors"]:
        body["mirrors"] = module.params["mirrors"]
    try:
        with Interrupts() as interrupts:
            with interrupts.deferred():
                result["key"] = appliance.request("POST", FETCH, body)["key"]
            path = f"{FETCH}/{result['key']}"
            if not module.params["wait"]:
                return appliance.get(path)["body"]
            return wait_until_final(module, appliance, path)
    except Interrupted as error:
        outcome = cancel_download(appliance, f"{FETCH}/{result['key']}")
        raise ApplianceError(f"{appliance.url}: {error}; the download {outcome}") from error


def wait_until_final(module, appliance, path):
    """The download once it has ended; raises C(ApplianceError) after O(timeout)."""
    deadline = time.monotonic() + module.params["timeout"]
    revision, body, last_error = None, {}, ""
    for delay in poll_delays():
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            document, revision = appliance.wait_for_change(path, revision, left)
            body, last_error = document["body"], ""
        except ApplianceError as error:
            if not is_transient(error):
                raise
            revision, last_error = None, f"; {error}"
        if body.get("status") in FINAL:
            return body
        time.sleep(min(delay, left))
    cancel = module.params["on_timeout"] == "cancel"
    outcome = cancel_download(appliance, path) if cancel else "continues"
    state = (
        f"{body['status']}, {body['bytes_downloaded']} of {body['bytes_total']} bytes"
        if body
        else "state not known"
    )
    raise ApplianceError(
        f"{appliance.url}: the download has not ended after {module.params['timeout']} s "
        f"({state}); it {outcome}{last_error}"
    )


def get_version(appliance, slot):
    """The version of the image in the slot."""
    items = get_slots(appliance, manifests=False)["items"]
    return next(item["body"].get("version") for item in items if item["key"] == str(slot))


def cancel_download(appliance, path):
    """Cancel the download; the outcome as a phrase for a message."""
    try:
        appliance.request("DELETE", path)
    except ApplianceError as error:
        return f"could not be cancelled: {error}"
    return "is cancelled"


if __name__ == "__main__":
    main()
