"""Hooks of schemathesis for spsd: the session, URLs to download from, and digests of uploads.

The command loads this module by ``SCHEMATHESIS_HOOKS``; ``SPSD_URL`` names the daemon.
"""

import base64
import hashlib
import os

import requests
import schemathesis
from hypothesis import strategies as st

from testbed.driver import PASSWORD, USER
from tests.web.conftest import basic

URL = os.environ["SPSD_URL"]


def fresh_session() -> str:
    response = requests.get(f"{URL}/api/authentication", auth=(USER, PASSWORD), timeout=10)
    response.raise_for_status()
    return response.cookies["session_id"]


# Each download ends at once: no server listens there, and the daemon refuses loopback.
schemathesis.openapi.format(
    "uri",
    st.builds(
        "{}://127.0.0.1:9/{}".format,
        st.sampled_from(["http", "https"]),
        st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~/", max_size=40),
    ),
)


@schemathesis.auth(refresh_interval=None)
class Session:
    """Authentication by cookie; a log-out ends a session of its own, a log-in has the password."""

    def __init__(self) -> None:
        self._token = fresh_session()

    def get(self, case: schemathesis.Case, _context: object) -> str:
        return fresh_session() if _operation(case) == "logOut" else self._token

    def set(self, case: schemathesis.Case, token: str, _context: object) -> None:
        if _operation(case) == "logIn":
            case.headers.update(basic(USER, PASSWORD))
        else:
            case.cookies["session_id"] = token


@schemathesis.hook
def before_call(_context: object, case: schemathesis.Case, _arguments: object) -> None:
    """Adjust what a schema cannot express."""
    if "wait" in (case.query or {}):
        # An unknown revision: the response comes at once instead of after a minute.
        case.query.setdefault("since", "another")
    if _operation(case) == "uploadImage":
        _set_digest(case)


def _set_digest(case: schemathesis.Case) -> None:
    """Give a valid upload the digest of its body."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    image = case.body.get("firmware") if isinstance(case.body, dict) else case.body
    for name in ("Repr-Digest", "X-Checksum-Sha256"):
        case.headers.pop(name, None)
    if isinstance(image, bytes):
        case.headers["X-Checksum-Sha256"] = hashlib.sha256(image).hexdigest()
        encoded = base64.b64encode(hashlib.sha256(image).digest()).decode()
        case.headers["Repr-Digest"] = f"sha-256=:{encoded}:"


def _operation(case: schemathesis.Case) -> str:
    return case.operation.definition.raw["operationId"]
