"""Where a redirect leads, and whether to follow it (RFC 9110 section 15.4)."""

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from spsd.domain.errors import InvalidRequestBodyError
from spsd.domain.failure import FailureCode, OriginError
from spsd.domain.source import parse_source_url, same_origin, told, with_credentials_of

REDIRECT_LIMIT = 10
STATUSES = frozenset({301, 302, 303, 307, 308})


def follow(url: str, headers: Mapping[str, str], *, hops: int, secure_only: bool) -> str:
    """The URL that a redirect from ``url`` leads to, after ``hops`` others.

    Credentials stay with the origin they were given for: they go on to another path of it, and
    not to another scheme, host or port, as with curl. ``secure_only`` refuses the way from https
    down to http, where nothing but the digest would protect the bytes.

    Raises:
        OriginError: it leads nowhere, too far, or where it must not.
    """
    location = headers.get("location")
    if location is None:
        raise OriginError(
            FailureCode.REDIRECT, "the origin redirects without a Location", transient=False
        )
    try:
        target = parse_source_url(urljoin(_without_fragment(url), location.strip()))
    except (InvalidRequestBodyError, ValueError) as error:
        # urljoin's own words repeat the target, credentials and all.
        why = f": {error}" if isinstance(error, InvalidRequestBodyError) else ""
        what = f"the origin redirects to an address that cannot be fetched{why}"
        raise OriginError(FailureCode.REDIRECT, what, transient=False) from error
    if hops >= REDIRECT_LIMIT:
        what = f"the origin redirects more than {REDIRECT_LIMIT} times"
        raise OriginError(
            FailureCode.REDIRECT, what, {"last target": told(target)}, transient=False
        )
    if secure_only and urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise OriginError(
            FailureCode.POLICY,
            'the origin redirects from https to http, which [fetch] tls = "strict" forbids',
            {"target": told(target)},
            transient=False,
        )
    return with_credentials_of(url, target) if same_origin(url, target) else target


def _without_fragment(url: str) -> str:
    return url.partition("#")[0]
