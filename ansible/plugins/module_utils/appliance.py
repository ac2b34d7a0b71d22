"""A client of the REST API of one appliance: sessions, certificate verification, waiting, errors."""

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import signal
import ssl
from contextlib import contextmanager, suppress
from urllib.parse import urlencode, urlsplit

LOG_IN = "/api/authentication"
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
TEST = "/api/firmware/test"
UPGRADE = "/api/firmware/upgrade"

ACTIVE = ("queued", "in-progress")
FINAL = ("finished", "failed", "cancelled")

ARGUMENTS = {
    "api_url": {"type": "str", "required": True},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca_file": {"type": "path"},
    "fingerprint": {"type": "str"},
    "request_timeout": {"type": "float", "default": 60.0},
}
"""The options of every module, documented in the fragment C(api)."""

MUTUALLY_EXCLUSIVE = [("ca_file", "fingerprint")]

POLL_S = 1.0
"""Seconds between two polls, except for the first ones (see C(poll_delays))."""

_MAX_WAIT_S = 30
"""The longest wait for a change in one request; shorter than the time limit of a request."""


class ApplianceError(Exception):
    """The appliance returned an error or cannot be reached, or an option is wrong.

    C(str()) is the message of the failed task.
    """

    def __init__(self, message, status=None, kind=None, details=None):
        """``status`` is the HTTP status, ``kind`` and ``details`` are members of the API's error."""
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.details = details or {}


class UnreachableError(ApplianceError):
    """There was no response; the appliance may have executed the request or not."""


class Interrupted(BaseException):
    """The module received SIGINT, SIGTERM or SIGHUP."""


def is_transient(error):
    """Whether a later request may succeed: no response, or a status of 500 or above."""
    return isinstance(error, UnreachableError) or (error.status or 0) >= 500


class Appliance:
    """The API of one appliance, used in one session."""

    def __init__(self, params):
        """``params`` are the options of C(ARGUMENTS). Sends no request.

        Raises C(ApplianceError) for a URL, a fingerprint or a CA file that cannot be used.
        """
        parts = urlsplit(params["api_url"])
        try:
            port, valid = parts.port, parts.scheme in ("http", "https")
        except ValueError:
            port, valid = None, False
        if not valid or not parts.hostname or parts.path.strip("/") or parts.query:
            given = params["api_url"]
            raise ApplianceError(
                f"api_url must be http(s)://HOST[:PORT] without a path, not {given!r}"
            )
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host, self._port = parts.hostname, port
        self._context = None
        self._fingerprint = None
        if parts.scheme == "https":
            self._fingerprint = _parse_fingerprint(params.get("fingerprint"))
            self._context = _tls_context(params.get("ca_file"), self._fingerprint)
        credentials = f"{params['username']}:{params['password']}"
        self._basic = "Basic " + base64.b64encode(credentials.encode()).decode()
        self._timeout = params["request_timeout"]
        self._cookie = None

    def get(self, path, **query):
        """The JSON object at ``path``."""
        return self.request("GET", path + ("?" + urlencode(query) if query else ""))

    def request(self, method, path, body=None, slow=False):
        """The JSON object of the response to one request.

        With ``slow`` the time limit is ten times as long. If the session has expired, another one is
        opened, once. Raises C(ApplianceError).
        """
        return self._request_in_session(method, path, body, slow)[0]

    def log_in(self):
        """Open a session; raises C(ApplianceError)."""
        self._cookie = None
        status, headers, document = self._send("GET", LOG_IN, basic=True)
        if status == 401:
            raise ApplianceError(
                f"{self.url} rejects the log-in (401): check username and password", status
            )
        self._check_status("GET", LOG_IN, status, document)
        for name, value in headers:
            if name.lower() == "set-cookie" and value.startswith("session_id="):
                self._cookie = value.partition(";")[0]
        if self._cookie is None:
            raise ApplianceError(f"{self.url} did not return a session: check api_url", status)

    def log_out(self):
        """Close the session. On a server without a log-out it expires."""
        if self._cookie is None:
            return
        with suppress(ApplianceError):
            self._send("DELETE", LOG_IN)
        self._cookie = None

    def wait_for_change(self, path, revision, within):
        """The document at ``path`` and its revision, after a change from ``revision``.

        The server waits for the change, ``within`` seconds at most; C(None) as ``revision`` does not
        wait. The response is immediate from a server without revisions, or with too many waiting
        clients; and the progress of a download is a change too.
        """
        if revision is not None:
            wait = max(1, int(min(within, _MAX_WAIT_S, self._timeout / 2)))
            path = f"{path}?{urlencode({'wait': wait, 'since': revision})}"
        document, headers = self._request_in_session("GET", path)
        tag = next((value for name, value in headers if name.lower() == "etag"), None)
        return document, None if tag is None else tag.partition('"')[2].rstrip('"')

    def _request_in_session(self, method, path, body=None, slow=False):
        """The document and the header fields of the response."""
        if self._cookie is None:
            self.log_in()
        status, headers, document = self._send(method, path, body, slow)
        if status == 401:
            self.log_in()
            status, headers, document = self._send(method, path, body, slow)
        return self._check_status(method, path, status, document), headers

    def _check_status(self, method, path, status, document):
        """The document of a success; raises C(ApplianceError) for an error status."""
        if 200 <= status < 300:
            return document
        error = document.get("error") or {}
        message = error.get("message") or f"{method} {path} returned {status}"
        kind = error.get("type")
        text = f"{self.url}: {message} ({kind or status})"
        raise ApplianceError(text, status, kind, error.get("details"))

    def _send(self, method, path, body=None, slow=False, basic=False):
        """Status, header fields and document of the response, over a new connection."""
        headers = {"Accept": "application/json", "Connection": "close"}
        if basic:
            headers["Authorization"] = self._basic
        elif self._cookie is not None:
            headers["Cookie"] = self._cookie
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = self._connection(self._timeout * (10 if slow else 1))
        try:
            connection.connect()
            self._verify_pin(connection.sock)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            text = response.read()
        except ssl.SSLCertVerificationError as error:
            raise ApplianceError(
                f"the certificate of {self.url} does not verify ({error.verify_message}): set "
                "ca_file or fingerprint"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"{self.url} cannot be reached: {reason}") from error
        finally:
            connection.close()
        return response.status, response.getheaders(), self._decode(response.status, text)

    def _connection(self, timeout):
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._context
        )

    def _verify_pin(self, sock):
        """Verify C(fingerprint) after the handshake, before credentials are sent."""
        if self._fingerprint is None:
            return
        digits = hashlib.sha256(sock.getpeercert(binary_form=True)).hexdigest()
        if digits != self._fingerprint:
            actual = ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper()
            raise ApplianceError(
                f"{self.url} uses another certificate than the one of fingerprint: its SHA-256 is "
                f"{actual}"
            )

    def _decode(self, status, text):
        """The JSON object of the body; an empty one if an error response has none."""
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        if status < 300:
            raise ApplianceError(f"{self.url} did not return a JSON object: check api_url", status)
        return {}


def poll_delays():
    """Seconds between polls: short at first, doubled up to C(POLL_S), without end."""
    delay = POLL_S / 16
    while True:
        yield min(delay, POLL_S)
        delay *= 2


def get_slots(appliance, manifests=True):
    """The document of the slots, each item with its manifest as the member C(manifest).

    C(manifest) is None for an empty slot, without a readable manifest, without C(manifests), and if
    the server has no manifests.
    """
    document = appliance.get(SLOTS)
    for item in document["items"]:
        item["manifest"] = None
        if manifests and item["body"]:
            try:
                item["manifest"] = appliance.get(item["meta"]["href"] + "/manifest")["body"]
            except ApplianceError as error:
                if error.status != 404:
                    raise
    return document


def find_slot_with_image(document, sha256):
    """The item of the slot that contains the image, the running one first; None: no slot."""
    found = [item for item in document["items"] if (item["manifest"] or {}).get("sha256") == sha256]
    found.sort(key=lambda item: not item["body"].get("current"))
    return found[0] if found else None


def slot_facts(item):
    """A slot as the modules return it."""
    body, manifest = item["body"], item["manifest"] or {}
    return {
        "slot": int(item["key"]),
        "empty": not body,
        "version": body.get("version"),
        "current": body.get("current", False),
        "after_reboot": body.get("after_reboot", False),
        "upgrade_notes": body.get("upgrade_notes"),
        "upgrade_news": body.get("upgrade_news"),
        "sha256": manifest.get("sha256"),
        "size": manifest.get("size"),
        "installed_at": manifest.get("installed_at"),
        "job": manifest.get("job"),
    }


def find_marked_slot(document, mark):
    """The facts of the slot with the mark C(current) or C(after_reboot); None: not known."""
    return next((slot_facts(item) for item in document["items"] if item["body"].get(mark)), None)


def parse_sha256(text):
    """The digest in lower case; raises C(ApplianceError) unless it is 64 hexadecimal digits."""
    digits = text.strip().lower()
    if not _is_sha256(digits):
        raise ApplianceError(f"sha256 must be 64 hexadecimal digits, not {text!r}")
    return digits


class Interrupts:
    """A context in which the first SIGINT, SIGTERM or SIGHUP raises C(Interrupted)."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self._previous_handlers = []
        self._deferring = False
        self._pending = None

    def __enter__(self):
        self._previous_handlers = [
            signal.signal(number, self._interrupt) for number in self.NUMBERS
        ]
        return self

    def __exit__(self, *_error):
        for number, handler in zip(self.NUMBERS, self._previous_handlers):
            signal.signal(number, handler)

    @contextmanager
    def deferred(self):
        """Raise an interrupt only at the end of this context.

        For a request that starts something: without its response it could not be cancelled.
        """
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._pending is not None:
            self._raise(self._pending)

    def _interrupt(self, number, _frame):
        if self._deferring:
            self._pending = number
        else:
            self._raise(number)

    def _raise(self, number):
        for ignored in self.NUMBERS:
            signal.signal(ignored, signal.SIG_IGN)
        raise Interrupted(f"interrupted by {signal.Signals(number).name}")


@contextmanager
def fail_on_error(module, result=None):
    """End the module with C(fail_json) on C(ApplianceError).

    The members that ``result`` has by then are returned with the failure.
    """
    try:
        yield
    except ApplianceError as error:
        members = {"status": error.status, "type": error.kind, "details": error.details or None}
        present = {name: value for name, value in members.items() if value is not None}
        module.fail_json(msg=str(error), **dict(result or {}, **present))


@contextmanager
def open_session(module):
    """The appliance of the module's options; C(ApplianceError) ends the module with C(fail_json)."""
    with fail_on_error(module):
        appliance = Appliance(module.params)
        try:
            yield appliance
        finally:
            appliance.log_out()


def _is_sha256(digits):
    return len(digits) == 64 and not set(digits) - set("0123456789abcdef")


def _parse_fingerprint(fingerprint):
    if fingerprint is None:
        return None
    digits = fingerprint.rpartition("=")[2].strip().lower()
    digits = digits[7:] if digits.startswith("sha256:") else digits
    digits = digits.replace(":", "")
    if not _is_sha256(digits):
        raise ApplianceError(f"fingerprint must be a SHA-256 in hexadecimal, not {fingerprint!r}")
    return digits


def _tls_context(ca_file, fingerprint):
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ApplianceError(f"ca_file {ca_file} cannot be used: {error}") from error
    # The flags of the daemon and of spsctl, the same for each Python release: docs/decisions/0027.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
