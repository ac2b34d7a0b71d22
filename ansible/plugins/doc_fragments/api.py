"""The options that all modules share."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations


class ModuleDocFragment:
    """The appliance, the account, and how the certificate is verified."""

    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - The URL of the appliance's API, such as C(https://appliance:8443).
      - Proxies that the environment configures are not used.
    type: str
    required: true
  username:
    description: An account of the appliance. Changes require the role C(admin).
    type: str
    required: true
  password:
    description: The account's password.
    type: str
    required: true
  ca_file:
    description:
      - PEM file of certificate authorities, or of the appliance's own certificate, to trust instead of the system's.
      - It is read on the host that the module runs on.
    type: path
  fingerprint:
    description:
      - SHA-256 of the appliance's certificate, as C(openssl x509 -fingerprint -sha256) prints it.
      - Only this certificate is trusted; its authority, its name and its dates are not checked.
    type: str
  request_timeout:
    description:
      - Seconds to wait for the response to one request.
      - A test and an upgrade read the whole image again, so their time limit is ten times as long.
    type: float
    default: 60.0
notes:
  - With C(connection=local) or C(delegate_to=localhost) the module runs on the controller, and the appliance needs
    neither SSH nor Python.
  - Each task opens a session and closes it at the end.
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    description: Whether the module can report what it would change, without changing it.
    support: full
  diff_mode:
    description: Whether the module reports the state before and after.
    support: full
"""

    ATTRIBUTES_INFO = r"""
attributes:
  check_mode:
    description: Whether the module can report what it would change, without changing it.
    support: full
    details: The module never changes anything.
  diff_mode:
    description: Whether the module reports the state before and after.
    support: none
"""
