"""Why a job fails: a closed list of codes, each with what it means and what to do.

A job's ``error`` begins with the code, says what happened with the evidence, and ends with the
advice, so that no failure is a riddle. The table in docs/ is printed from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spsd.errors import SpsdError

Evidence = Mapping[str, str | int]


class FailureCode(StrEnum):
    """Stable codes; a name once given keeps its meaning."""

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


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, what to do, and whether the bytes so far are worth keeping."""

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
        "no connection to the origin could be made",
        "Check that the origin runs, the port, and the firewalls between.",
        keeps_partial=True,
    ),
    FailureCode.PROXY: Explanation(
        "the proxy cannot be reached, or did not let the request through",
        "Check [fetch] proxy (or the environment's), and that the proxy reaches the origin.",
        keeps_partial=True,
    ),
    FailureCode.PROXY_AUTH: Explanation(
        "the proxy wants another user or password (407)",
        "Put the proxy's user and password into the URL of [fetch] proxy.",
        keeps_partial=True,
    ),
    FailureCode.TLS: Explanation(
        "the TLS handshake or the certificate failed",
        "Check the origin's certificate and the appliance's clock, or set [fetch] ca_file.",
        keeps_partial=True,
    ),
    FailureCode.PORTAL: Explanation(
        "the origin answered with a web page instead of an image",
        "Open the URL in a browser: a log-in page or a portal stands in the way.",
        keeps_partial=True,
    ),
    FailureCode.STALL: Explanation(
        "bytes came slower than [fetch] minimum_bytes_per_s, or not at all",
        "Check the network's path to the origin, or lower [fetch] minimum_bytes_per_s.",
        keeps_partial=True,
    ),
    FailureCode.ORIGIN_STATUS: Explanation(
        "the origin answered with an HTTP status that is no image",
        "Check the URL and the access rights on the origin.",
        keeps_partial=True,
    ),
    FailureCode.PROTOCOL: Explanation(
        "what answered does not speak HTTP as RFC 9110 has it",
        "Check the scheme and the port in the URL.",
        keeps_partial=True,
    ),
    FailureCode.REDIRECT: Explanation(
        "the origin's redirects lead nowhere",
        "Use the final address of the image as the URL.",
        keeps_partial=True,
    ),
    FailureCode.CUT_OFF: Explanation(
        "the origin closed the connection before the end",
        "Check the origin and what stands between; sending the job again continues it.",
        keeps_partial=True,
    ),
    FailureCode.TOO_LONG: Explanation(
        "more bytes came than the origin had announced",
        "Check the object on the origin.",
        keeps_partial=False,
    ),
    FailureCode.CODED: Explanation(
        "the origin compressed the image although it was asked not to",
        "Turn content coding off for images on the origin.",
        keeps_partial=True,
    ),
    FailureCode.DIGEST: Explanation(
        "the bytes do not have the requested SHA-256",
        "Compare the checksum in the request with the one that the image's publisher gives.",
        keeps_partial=False,
    ),
    FailureCode.DISK_FULL: Explanation(
        "the file system of the state directory, or of its slots, has no room for the image",
        "Free space on that one, or empty a slot, and send the job again.",
        keeps_partial=False,
    ),
    FailureCode.DISK: Explanation(
        "the state directory could not be read or written",
        "Check the file system and the kernel's log.",
        keeps_partial=True,
    ),
    FailureCode.NO_SLOT: Explanation(
        "no firmware slot is empty",
        "Delete an image from a slot and send the job again.",
        keeps_partial=True,
    ),
    FailureCode.NOT_AN_IMAGE: Explanation(
        "the bytes are proven, but they are no ISO 9660 image",
        'Check that the URL names a firmware image, or set [slots] accept = "any".',
        keeps_partial=False,
    ),
    FailureCode.POLICY: Explanation(
        "the origin's address is one that spsd does not connect to",
        "Name its network in [fetch] allow if it is meant.",
        keeps_partial=True,
    ),
    FailureCode.GAVE_UP: Explanation(
        "the daemon ended too often while it worked on this job",
        "Look at the daemon's log for the cause and send the job again.",
        keeps_partial=False,
    ),
}


class JobError(SpsdError):
    """One step of a job did not succeed.

    ``transient`` tells whether the same step may succeed later without anybody's help.
    """

    def __init__(
        self,
        code: FailureCode,
        what: str,
        evidence: Evidence | None = None,
        *,
        transient: bool = False,
    ) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.evidence: Evidence = evidence or {}
        self.transient = transient

    def restated(self, evidence: Evidence, *, transient: bool) -> "JobError":
        """The same failure as the whole job sees it, with more evidence."""
        return JobError(self.code, self.what, {**self.evidence, **evidence}, transient=transient)

    def sentence(self) -> str:
        """The job's ``error``: code, what happened, evidence, and what to do."""
        facts = ", ".join(f"{name} {value}" for name, value in self.evidence.items())
        shown = f" ({facts})" if facts else ""
        return f"{self.code}: {self.what}{shown}. {EXPLANATIONS[self.code].advice}"


class OriginError(JobError):
    """The origin or the way to it is at fault.

    ``retry_after`` is what the origin asked for, in seconds, None if it did not.
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
    """What came is not what was asked for."""


class ApplianceError(JobError):
    """The appliance itself stands in the way: its disk or its slots."""
