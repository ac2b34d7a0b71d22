"""The REST API of one appliance, from a module: sessions, trust, waiting, and errors for people."""

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
OVER = ("finished", "failed", "cancelled")

ARGUMENTS = {
    "api_url": {"type": "str", "required": True},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca_file": {"type": "path"},
    "fingerprint": {"type": "str"},
    "request_timeout": {"type": "float", "default": 60.0},
}
"""The options of every module; they are documented in the fragment C(api)."""

EXCLUSIVE = [("ca_file", "fingerprint")]

POLL_S = 1.0
"""How often a server is asked at most, but for the first looks at something short."""

_WAIT_S = 30
"""How long a server that knows waiting is asked to wait at a time; less than a request may take."""


class ApplianceError(Exception):
    """The appliance refuses, is not the right one, or is not there; the text is for people."""

    def __init__(self, message, status=None, kind=None, details=None):
        """``status``, ``kind`` and ``details`` are the API's, if it has answered."""
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.details = details or {}


class UnreachableError(ApplianceError):
    """There was no answer. What was asked for may have been done, or not."""


class Interrupted(BaseException):
    """Whoever runs the module wants it to end."""


def is_passing(error):
    """Whether the appliance, or the proxy before it, may be well again in a moment."""
    return isinstance(error, UnreachableError) or (error.status or 0) >= 500


class Appliance:
    """One appliance, within one session."""

    def __init__(self, params):
        """``params`` are the options of C(ARGUMENTS); nothing is asked yet.

        Raises C(ApplianceError) for a URL, a fingerprint or a file that cannot be used.
        """
        parts = urlsplit(params["api_url"])
        try:
            port, good = parts.port, parts.scheme in ("http", "https")
        except ValueError:
            port, good = None, False
        if not good or not parts.hostname or parts.path.strip("/") or parts.query:
            given = params["api_url"]
            raise ApplianceError(
                f"api_url must be http(s)://HOST[:PORT] and nothing more, not {given!r}"
            )
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host, self._port = parts.hostname, port
        self._context = None
        self._fingerprint = None
        if parts.scheme == "https":
            self._fingerprint = _digits(params.get("fingerprint"))
            self._context = _tls_context(params.get("ca_file"), self._fingerprint)
        credentials = f"{params['username']}:{params['password']}"
        self._basic = "Basic " + base64.b64encode(credentials.encode()).decode()
        self._timeout = params["request_timeout"]
        self._cookie = None

    def get(self, path, **query):
        """A document."""
        return self.ask("GET", path + ("?" + urlencode(query) if query else ""))

    def ask(self, method, path, body=None, slowly=False):
        """The document that is answered to one request; ``slowly``: it may take ten times as long.

        A session that is over is opened again, once.
        """
        return self._answer(method, path, body, slowly)[0]

    def log_in(self):
        """Open a session."""
        self._cookie = None
        status, headers, document = self._exchange("GET", LOG_IN, basic=True)
        if status == 401:
            raise ApplianceError(
                f"{self.url} refuses the log-in (401): check username and password", status
            )
        self._accepted("GET", LOG_IN, status, document)
        for name, value in headers:
            if name.lower() == "set-cookie" and value.startswith("session_id="):
                self._cookie = value.partition(";")[0]
        if self._cookie is None:
            raise ApplianceError(f"{self.url} gives no session: is it this API?", status)

    def log_out(self):
        """Close the session, where the server knows how; else it ends by itself."""
        if self._cookie is None:
            return
        with suppress(ApplianceError):
            self._exchange("DELETE", LOG_IN)
        self._cookie = None

    def changed(self, path, revision, within):
        """A document and its revision, which is no longer ``revision`` where that can be waited for.

        The server is asked to wait, ``within`` seconds at most. One that knows no revisions, or has
        others enough that wait, answers at once; and a download that goes on changes all the time.
        """
        if revision is not None:
            wait = max(1, int(min(within, _WAIT_S, self._timeout / 2)))
            path = f"{path}?{urlencode({'wait': wait, 'since': revision})}"
        document, headers = self._answer("GET", path)
        tag = next((value for name, value in headers if name.lower() == "etag"), None)
        return document, None if tag is None else tag.partition('"')[2].rstrip('"')

    def _answer(self, method, path, body=None, slowly=False):
        """Document and header fields, within a session."""
        if self._cookie is None:
            self.log_in()
        status, headers, document = self._exchange(method, path, body, slowly)
        if status == 401:
            self.log_in()
            status, headers, document = self._exchange(method, path, body, slowly)
        return self._accepted(method, path, status, document), headers

    def _accepted(self, method, path, status, document):
        if 200 <= status < 300:
            return document
        error = document.get("error") or {}
        message = error.get("message") or f"{method} {path} is answered with {status}"
        kind = error.get("type")
        told = f"{self.url}: {message} ({kind or status})"
        raise ApplianceError(told, status, kind, error.get("details"))

    def _exchange(self, method, path, body=None, slowly=False, basic=False):
        """Status, header fields and document of one request on a connection of its own."""
        headers = {"Accept": "application/json", "Connection": "close"}
        if basic:
            headers["Authorization"] = self._basic
        elif self._cookie is not None:
            headers["Cookie"] = self._cookie
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = self._connection(self._timeout * (10 if slowly else 1))
        try:
            connection.connect()
            self._must_be_pinned(connection.sock)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            text = response.read()
        except ssl.SSLCertVerificationError as error:
            raise ApplianceError(
                f"the certificate of {self.url} does not verify ({error.verify_message}): give "
                "ca_file or fingerprint"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{self.url} cannot be reached: {why}") from error
        finally:
            connection.close()
        return response.status, response.getheaders(), self._document(response.status, text)

    def _connection(self, timeout):
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._context
        )

    def _must_be_pinned(self, sock):
        """Before a byte is sent: the certificate is the one of C(fingerprint)."""
        if self._fingerprint is None:
            return
        shown = hashlib.sha256(sock.getpeercert(binary_form=True)).hexdigest()
        if shown != self._fingerprint:
            spelled = ":".join(shown[at : at + 2] for at in range(0, 64, 2)).upper()
            raise ApplianceError(
                f"{self.url} shows another certificate than the one of fingerprint: its SHA-256 is "
                f"{spelled}"
            )

    def _document(self, status, text):
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        if status < 300:
            raise ApplianceError(f"{self.url} answers no JSON object: is it this API?", status)
        return {}


def pauses():
    """Seconds between one look and the next: little at first, C(POLL_S) in the end."""
    pause = POLL_S / 16
    while True:
        yield min(pause, POLL_S)
        pause *= 2


def slots(appliance, manifests=True):
    """The document of the slots, whose bodies are given their manifests as C(manifest).

    That is None for an empty slot, for one without a readable manifest, and where the server has
    no such resource.
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


def holding(document, sha256):
    """The item of the slot that holds the digest, the running one first; None: none does."""
    held = [one for one in document["items"] if (one["manifest"] or {}).get("sha256") == sha256]
    held.sort(key=lambda one: not one["body"].get("current"))
    return held[0] if held else None


def slot_facts(item):
    """What the modules return of a slot."""
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


def marked(document, mark):
    """The facts of the slot that is C(current), or C(after_reboot); None: nobody knows which."""
    return next((slot_facts(one) for one in document["items"] if one["body"].get(mark)), None)


def sha256_of(text):
    """A digest in lower case; raises C(ApplianceError) if it is none."""
    lowered = text.strip().lower()
    if not _is_sha256(lowered):
        raise ApplianceError(f"sha256 must be 64 hexadecimal digits, not {text!r}")
    return lowered


class Interrupts:
    """Within this context SIGINT, SIGTERM and SIGHUP raise C(Interrupted), once."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self._before = []
        self._held = False
        self._waits = None

    def __enter__(self):
        self._before = [signal.signal(number, self._interrupt) for number in self.NUMBERS]
        return self

    def __exit__(self, *_error):
        for number, handler in zip(self.NUMBERS, self._before):
            signal.signal(number, handler)

    @contextmanager
    def held(self):
        """An interrupt waits for the end of this; for what must be known to be undone."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._waits is not None:
            self._raise(self._waits)

    def _interrupt(self, number, _frame):
        if self._held:
            self._waits = number
        else:
            self._raise(number)

    def _raise(self, number):
        for one in self.NUMBERS:
            signal.signal(one, signal.SIG_IGN)
        raise Interrupted(f"interrupted by {signal.Signals(number).name}")


@contextmanager
def failures_of(module, told=None):
    """Within it C(ApplianceError) is the module's failure; what C(told) has by then goes with it."""
    try:
        yield
    except ApplianceError as error:
        found = {"status": error.status, "type": error.kind, "details": error.details or None}
        facts = {name: value for name, value in found.items() if value is not None}
        module.fail_json(msg=str(error), **dict(told or {}, **facts))


@contextmanager
def session(module):
    """The appliance of the module's options; its refusals are the module's failures."""
    with failures_of(module):
        appliance = Appliance(module.params)
        try:
            yield appliance
        finally:
            appliance.log_out()


def _is_sha256(digits):
    return len(digits) == 64 and not set(digits) - set("0123456789abcdef")


def _digits(fingerprint):
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
    # As the appliance and spsctl judge, and the same under every Python: docs/decisions/0027.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
