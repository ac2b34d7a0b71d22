"""Why a job fails: a closed list of codes, each with its meaning and an advice to the operator.

The ``error`` of a job has the form ``code: what happened (evidence). Advice.``; the table in
docs/failures.md is generated from :data:`EXPLANATIONS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spsd.errors import SpsdError
from spsd.text import visible

Evidence = Mapping[str, str | int]


class FailureCode(StrEnum):
    """The codes; a released code keeps its name and its meaning."""

    DNS = "dns"
    REFUSED = "refused"
    PROXY = "proxy"
    PROXY_AUTH = "proxy_auth"
    TLS = "tls"
    PORTAL = "portal"
    STALL = "stall"
    ORIGIN_STATUS = "origin_status"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    CUT_OFF = "cut_off"
    TOO_LONG = "too_long"
    CODED = "coded"
    DIGEST = "digest"
    DISK_FULL = "disk_full"
    DISK = "disk"
    NO_SLOT = "no_slot"
    NOT_AN_IMAGE = "not_an_image"
    POLICY = "policy"
    GAVE_UP = "gave_up"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, what to do, and whether the partial download stays on disk."""

    meaning: str
    advice: str
    keeps_partial: bool


EXPLANATIONS: dict[FailureCode, Explanation] = {
    FailureCode.DNS: Explanation(
        "the origin's name could not be resolved",
        "Check the host name in the URL and the appliance's DNS settings.",
        keeps_partial=True,
    ),
    FailureCode.REFUSED: Explanation(
        "no connection to the origin could be opened",
        "Check the port, that the origin runs, and the firewalls on the path to it.",
        keeps_partial=True,
    ),
    FailureCode.PROXY: Explanation(
        "the proxy cannot be reached, or refused the request",
        "Check [fetch] proxy or the proxy of the environment, and that it reaches the origin.",
        keeps_partial=True,
    ),
    FailureCode.PROXY_AUTH: Explanation(
        "the proxy requires another user or password (407)",
        "Put the proxy's user and password into the URL of [fetch] proxy.",
        keeps_partial=True,
    ),
    FailureCode.TLS: Explanation(
        "the TLS handshake failed, or the certificate was not accepted",
        "Check the origin's certificate and the appliance's clock, or set [fetch] ca_file.",
        keeps_partial=True,
    ),
    FailureCode.PORTAL: Explanation(
        "the origin sent a web page instead of an image",
        "Open the URL in a browser: a log-in page or a captive portal may intercept the request.",
        keeps_partial=True,
    ),
    FailureCode.STALL: Explanation(
        "the origin sent fewer bytes than [fetch] minimum_bytes_per_s, or none",
        "Check the network path to the origin, or lower [fetch] minimum_bytes_per_s.",
        keeps_partial=True,
    ),
    FailureCode.ORIGIN_STATUS: Explanation(
        "the origin responded with an HTTP status other than success",
        "Check the URL and the access rights on the origin.",
        keeps_partial=True,
    ),
    FailureCode.PROTOCOL: Explanation(
        "the response violates HTTP (RFC 9110)",
        "Check the scheme and the port in the URL.",
        keeps_partial=True,
    ),
    FailureCode.REDIRECT: Explanation(
        "the redirects of the origin cannot be followed",
        "Use the final URL of the image.",
        keeps_partial=True,
    ),
    FailureCode.CUT_OFF: Explanation(
        "the origin closed the connection before the end of the image",
        "Check the origin and the proxies on the path; the same job, sent again, continues.",
        keeps_partial=True,
    ),
    FailureCode.TOO_LONG: Explanation(
        "the origin sent more bytes than it announced",
        "Check the file on the origin.",
        keeps_partial=False,
    ),
    FailureCode.CODED: Explanation(
        "the origin compressed the image against the request",
        "Turn off compression (Content-Encoding) of images on the origin.",
        keeps_partial=True,
    ),
    FailureCode.DIGEST: Explanation(
        "the bytes do not have the requested SHA-256",
        "Compare the checksum in the request with the one that the publisher states.",
        keeps_partial=False,
    ),
    FailureCode.DISK_FULL: Explanation(
        "the file system of the state directory, or of its slots, has no room for the image",
        "Free space on that file system, or empty a slot, and send the job again.",
        keeps_partial=False,
    ),
    FailureCode.DISK: Explanation(
        "the state directory could not be read or written",
        "Check the file system and the kernel log.",
        keeps_partial=True,
    ),
    FailureCode.NO_SLOT: Explanation(
        "no firmware slot is empty",
        "Delete an image from a slot and send the job again.",
        keeps_partial=True,
    ),
    FailureCode.NOT_AN_IMAGE: Explanation(
        "the bytes have the requested SHA-256, but are not an ISO 9660 image",
        'Check that the URL names a firmware image, or set [slots] accept = "any".',
        keeps_partial=False,
    ),
    FailureCode.POLICY: Explanation(
        "spsd does not connect to the address of the origin",
        "Add its network to [fetch] allow if the address is intended.",
        keeps_partial=True,
    ),
    FailureCode.GAVE_UP: Explanation(
        "the daemon stopped unexpectedly too often while it ran this job",
        "Find the cause in the log of the daemon, and send the job again.",
        keeps_partial=False,
    ),
    FailureCode.INTERNAL: Explanation(
        "an unexpected error in spsd ended the work on this job; other jobs are not affected",
        "This is a bug: report it with the traceback in the daemon's log.",
        keeps_partial=True,
    ),
}


SENTENCE_LIMIT = 1000
"""The most characters of a sentence that says what happened."""
VALUE_LIMIT = 500
"""The most characters of one fact; five SHA-256 fingerprints of certificates fit."""
FACTS_LIMIT = 24
"""The most facts in one line of evidence."""


def bounded(text: str, limit: int) -> str:
    """The text as by :func:`~spsd.text.visible`, with at most ``limit`` characters.

    Texts from outside (an origin, a library) enter errors, histories and the log through this.
    """
    shown = visible(text[:limit])
    return shown if len(text) <= limit and len(shown) <= limit else f"{shown[: limit - 1]}…"


def facts(evidence: Evidence) -> str:
    """The evidence as text for the job's history: ``name value, name value``."""
    return ", ".join(
        f"{name} {_bounded_value(value)}" for name, value in [*evidence.items()][:FACTS_LIMIT]
    )


def _bounded_value(value: str | int) -> str | int:
    return bounded(value, VALUE_LIMIT) if isinstance(value, str) else value


class JobError(SpsdError):
    """A step of a job failed.

    ``what`` says what happened, without a final period; ``evidence`` has facts by name. Both are
    bounded, whatever they contain. ``transient`` is true if the same step may succeed later
    although nothing is changed.
    """

    def __init__(
        self,
        code: FailureCode,
        what: str,
        evidence: Evidence | None = None,
        *,
        transient: bool = False,
    ) -> None:
        what = bounded(what, SENTENCE_LIMIT)
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.evidence: Evidence = {
            name: _bounded_value(value) for name, value in (evidence or {}).items()
        }
        self.transient = transient

    def restated(self, evidence: Evidence, *, transient: bool) -> "JobError":
        """The same failure for the whole job: with more evidence, and ``transient`` replaced."""
        return JobError(self.code, self.what, {**self.evidence, **evidence}, transient=transient)

    def sentence(self) -> str:
        """The ``error`` of a job: code, what happened, evidence and advice."""
        in_brackets = f" ({facts(self.evidence)})" if self.evidence else ""
        return f"{self.code}: {self.what}{in_brackets}. {EXPLANATIONS[self.code].advice}"


class OriginError(JobError):
    """The origin or the network path to it is at fault.

    ``retry_after`` is the delay in seconds that the origin requested (RFC 9110 section 10.2.3);
    None if it requested none.
    """

    def __init__(
        self,
        code: FailureCode,
        what: str,
        evidence: Evidence | None = None,
        *,
        transient: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, what, evidence, transient=transient)
        self.retry_after = retry_after


class ImageError(JobError):
    """The received bytes are not the requested image."""


class ApplianceError(JobError):
    """The appliance is at fault: its disk or its slots."""
