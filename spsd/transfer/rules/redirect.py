"""Where a redirect leads, and whether to follow it (RFC 9110 section 15.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from spsd.decision_table import Outcome, Row, Table
from spsd.errors import InvalidRequestBodyError
from spsd.failures import FailureCode, OriginError
from spsd.transfer.rules.url import parse_source_url, redacted, same_origin, with_credentials_of

REDIRECT_LIMIT = 10
STATUSES = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Hop:
    """A redirect from ``url`` after ``hops`` others; ``location`` None: it has none."""

    url: str
    location: str | None
    hops: int
    secure_only: bool

    @property
    def target(self) -> str:
        """The URL that it leads to.

        Raises:
            InvalidRequestBodyError: it is none that can be fetched.
        """
        try:
            joined = urljoin(self.url.partition("#")[0], (self.location or "").strip())
        except ValueError as error:
            # urljoin's own words repeat the target, credentials and all.
            raise InvalidRequestBodyError("it is no URL") from error
        return parse_source_url(joined)

    @property
    def problem(self) -> str | None:
        """Why the target cannot be fetched; None: it can."""
        try:
            self.target  # noqa: B018 - the check is in the reading
        except InvalidRequestBodyError as error:
            return str(error)
        return None

    @property
    def is_downgrade(self) -> bool:
        """Whether it leads from https to http."""
        return urlsplit(self.url).scheme == "https" and urlsplit(self.target).scheme == "http"


def follow(url: str, headers: Mapping[str, str], *, hops: int, secure_only: bool) -> str:
    """The URL that a redirect from ``url`` leads to, after ``hops`` others.

    Credentials stay with the origin they were given for: they go on to another path of it, and
    not to another scheme, host or port, as with curl. ``secure_only`` refuses the way from https
    down to http, where nothing but the digest would protect the bytes.

    Raises:
        OriginError: it leads nowhere, too far, or where it must not.
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
            "There is nowhere to go.",
        ),
        Row(
            "unusable",
            "a target that is no http or https URL",
            lambda hop: hop.problem is not None,
            Outcome("fail for good: `redirect`", _unusable),
            "What a request may not name, a redirect may not either.",
        ),
        Row(
            "too-many",
            f"the one after {REDIRECT_LIMIT} others: a loop, or as good as one",
            lambda hop: hop.hops >= REDIRECT_LIMIT,
            Outcome("fail for good: `redirect`", _too_far),
            "Each attempt starts at the URL of the request, so a loop stays one.",
        ),
        Row(
            "down-to-http",
            'from https to http, with `[fetch] tls = "strict"`',
            lambda hop: hop.secure_only and hop.is_downgrade,
            Outcome("fail for good: `policy`", _downgrade),
            "Nothing but the digest would protect the bytes. With `checksum` that is enough.",
        ),
        Row(
            "same-origin",
            "the same scheme, host and port",
            lambda hop: same_origin(hop.url, hop.target),
            Outcome("follow, with the credentials in the URL", _with_credentials),
            "It stays with the origin that they were given for.",
        ),
        Row(
            "elsewhere",
            "anywhere else",
            lambda _: True,
            Outcome("follow, without them", lambda hop: hop.target),
            "Credentials go along only if the target names them itself, as with curl. Its address "
            "is judged when it is connected to, as that of the request is (`policy`).",
        ),
    )
)
"""Whether to follow a redirect."""
