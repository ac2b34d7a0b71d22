"""The options that every module has."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations


class ModuleDocFragment:
    """Which appliance, who asks, and how it proves itself."""

    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - Where the appliance's API is, such as C(https://appliance:8443).
      - It is asked directly, whatever the environment says of proxies.
    type: str
    required: true
  username:
    description: An account of the appliance. To change anything it needs the role C(admin).
    type: str
    required: true
  password:
    description: The account's password.
    type: str
    required: true
  ca_file:
    description:
      - PEM file of the authorities, or of the appliance's own certificate, to trust instead of the system's.
      - It is read where the module runs.
    type: path
  fingerprint:
    description:
      - SHA-256 of the appliance's certificate, as C(openssl x509 -fingerprint -sha256) prints it.
      - It is the one certificate that is trusted; neither its authority, its name nor its dates are looked at.
    type: str
  request_timeout:
    description:
      - Seconds that one request may take before anything is answered.
      - A test and an upgrade read the whole image again, and are given ten times as long.
    type: float
    default: 60.0
notes:
  - The module runs wherever its task does. With C(connection=local) or C(delegate_to=localhost) that is the
    controller, and the appliance needs neither SSH nor Python.
  - A session is opened for the task and closed at its end.
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    description: Whether it tells what would be changed, and changes nothing.
    support: full
  diff_mode:
    description: Whether it tells what was there before and what is there after.
    support: full
"""

    ATTRIBUTES_INFO = r"""
attributes:
  check_mode:
    description: Whether it tells what would be changed, and changes nothing.
    support: full
    details: It changes nothing in any mode.
  diff_mode:
    description: Whether it tells what was there before and what is there after.
    support: none
"""
