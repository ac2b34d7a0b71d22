"""Where a redirect leads, and whether it is followed, as a decision table. Pure.

Sections are those of RFC 9110; redirects are section 15.4. docs/resume.md is printed from the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from spsd.decision_table import Outcome, Row, Table
from spsd.errors import InvalidRequestBodyError
from spsd.failures import FailureCode, OriginError
from spsd.transfer.rules.url import parse_source_url, redacted, same_origin, with_credentials_of

REDIRECT_LIMIT = 10
"""The most redirects that one request follows."""
STATUSES = frozenset({301, 302, 303, 307, 308})
"""The statuses with a Location to follow (sections 15.4.2 to 15.4.4, 15.4.8, 15.4.9)."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A redirect from ``url``, after ``hops`` others; ``location`` is None if the field is absent.

    ``secure_only``: a redirect from https to http is not allowed.
    """

    url: str
    location: str | None
    hops: int
    secure_only: bool

    @property
    def target(self) -> str:
        """The URL that the redirect leads to.

        Raises:
            InvalidRequestBodyError: it is not an http or https URL that spsd accepts.
        """
        # Location is a URI reference, resolved against the requested URL (section 10.2.2).
        try:
            joined = urljoin(self.url.partition("#")[0], (self.location or "").strip())
        except ValueError as error:
            # urljoin's own message contains the target, with its credentials.
            raise InvalidRequestBodyError("it is no URL") from error
        return parse_source_url(joined)

    @property
    def problem(self) -> str | None:
        """Why the target cannot be fetched; None if it can."""
        try:
            self.target  # noqa: B018 - reading the property performs the check
        except InvalidRequestBodyError as error:
            return str(error)
        return None

    @property
    def is_downgrade(self) -> bool:
        """Whether the redirect leads from https to http."""
        return urlsplit(self.url).scheme == "https" and urlsplit(self.target).scheme == "http"


def follow(url: str, headers: Mapping[str, str], *, hops: int, secure_only: bool) -> str:
    """The URL that a redirect from ``url`` leads to, after ``hops`` others.

    ``headers`` are the response's fields, with names in lower case. Credentials in ``url`` are kept
    for another path of the same origin, and dropped for another scheme, host or port, as curl does
    (section 15.4 names Authorization among the fields to remove). ``secure_only``
    refuses a redirect from https to http, where only the digest would protect the bytes.

    Raises:
        OriginError: the redirect has no usable target (`redirect`), exceeds the limit
            (`redirect`), or is a forbidden downgrade (`policy`).
    """
    verdict = REDIRECTS.decide(Hop(url, headers.get("location"), hops, secure_only))
    if isinstance(verdict, OriginError):
        raise verdict
    return verdict


def _nowhere(_: Hop) -> OriginError:
    what = "the origin redirects without a Location"
    return OriginError(FailureCode.REDIRECT, what, transient=False)


def _too_far(hop: Hop) -> OriginError:
    what = f"the origin redirects more than {REDIRECT_LIMIT} times"
    last = {"last target": redacted(hop.target)}
    return OriginError(FailureCode.REDIRECT, what, last, transient=False)


def _unusable(hop: Hop) -> OriginError:
    what = f"the origin redirects to an address that cannot be fetched: {hop.problem}"
    return OriginError(FailureCode.REDIRECT, what, transient=False)


def _downgrade(hop: Hop) -> OriginError:
    what = 'the origin redirects from https to http, which [fetch] tls = "strict" forbids'
    target = {"target": redacted(hop.target)}
    return OriginError(FailureCode.POLICY, what, target, transient=False)


def _with_credentials(hop: Hop) -> OriginError | str:
    return with_credentials_of(hop.url, hop.target)


REDIRECTS: Table[Hop, OriginError | str] = Table(
    (
        Row(
            "no-location",
            "no Location",
            lambda hop: hop.location is None,
            Outcome("fail for good: `redirect`", _nowhere),
            "There is no URL to request.",
        ),
        Row(
            "unusable",
            "a target that is no http or https URL",
            lambda hop: hop.problem is not None,
            Outcome("fail for good: `redirect`", _unusable),
            "A redirect may not name what a request may not name.",
        ),
        Row(
            "too-many",
            f"a redirect after {REDIRECT_LIMIT} others",
            lambda hop: hop.hops >= REDIRECT_LIMIT,
            Outcome("fail for good: `redirect`", _too_far),
            "It is probably a loop (section 15.4), and each attempt would run into it again.",
        ),
        Row(
            "down-to-http",
            'from https to http, with `[fetch] tls = "strict"`',
            lambda hop: hop.secure_only and hop.is_downgrade,
            Outcome("fail for good: `policy`", _downgrade),
            "Only the digest would protect the bytes. With `checksum` that is enough.",
        ),
        Row(
            "same-origin",
            "the same scheme, host and port",
            lambda hop: same_origin(hop.url, hop.target),
            Outcome("follow, with the credentials in the URL", _with_credentials),
            "The credentials were given for this origin (RFC 6454 section 5).",
        ),
        Row(
            "elsewhere",
            "another scheme, host or port",
            lambda _: True,
            Outcome("follow, without the credentials", lambda hop: hop.target),
            "Only credentials in the target itself are sent, as curl does. The target's address is "
            "checked when the connection is made, like that of the request (`policy`).",
        ),
    )
)
"""Whether a redirect is followed."""
