"""The URL of an image: which URLs are accepted, and which parts of one may be shown. Pure.

The syntax is that of RFC 3986 (authority and userinfo: section 3.2) with the schemes of RFC 9110
section 4.2.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes, urlsplit

from spsd.errors import InvalidRequestBodyError

URL_LIMIT = 8 * 1024
"""The longest accepted URL in bytes; RFC 9110 section 4.1 recommends at least 8,000."""
MIRROR_LIMIT = 16
"""The most mirrors that a request may name."""
_SCHEMES = frozenset({"http", "https"})
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")


def parse_source_url(text: str, *, field: str = "url") -> str:
    """Check that ``text`` is an absolute http or https URL with a host, and return it unchanged.

    Raises:
        InvalidRequestBodyError: it is not; the error names ``field``, and shows no part of the URL
            that may be a password.
    """
    if (problem := _problem(text)) is not None:
        raise InvalidRequestBodyError(f"`{field}` {problem}.", field=field)
    return text


def distinct_mirrors(url: str, mirrors: Sequence[str]) -> tuple[str, ...]:
    """The mirrors in their order, without duplicates and without ``url`` itself."""
    return tuple(mirror for mirror in dict.fromkeys(mirrors) if mirror != url)


def _problem(text: str) -> str | None:
    if len(text.encode(errors="replace")) > URL_LIMIT:
        return f"is longer than {URL_LIMIT} bytes"
    if _FORBIDDEN.search(text):
        return "contains a space or a control character; write it percent-encoded"
    # Step 1: it can be split into components. The library's own message is not used: it repeats a
    # part of the URL, which may be the password.
    try:
        parts = urlsplit(text)
        host = parts.hostname
        text.encode()
    except ValueError:  # UnicodeError is a subclass
        return "is no valid URL"
    # Step 2: the port is a number up to 65535 (RFC 3986 section 3.2.3).
    try:
        _ = parts.port
    except ValueError:
        return "is no valid URL: its port is no number up to 65535"
    # Step 3: the scheme is http or https (RFC 9110 sections 4.2.1 and 4.2.2).
    if parts.scheme not in _SCHEMES:
        return f"must begin with http:// or https://, not {parts.scheme or 'nothing'}"
    # Step 4: the host is not empty (RFC 9110 section 4.2.1), and can be looked up.
    if not host:
        return "names no host"
    return _host_problem(host)


def _host_problem(host: str) -> str | None:
    try:
        host.encode("idna")
    except UnicodeError as error:
        return f"has a host name that cannot be looked up: {error}"
    return None


def without_credentials(url: str) -> str:
    """The URL as it may be shown to the client that sent it: without user and password."""
    scheme, slashes, rest = url.partition("//")
    authority, after = _split_authority(rest)
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{after}"


def redacted(url: str) -> str:
    """The URL as it may appear in a log or an error: without credentials, query and fragment.

    The query of a signed URL is a secret: it permits the download.
    """
    return re.split("[?#]", without_credentials(url), maxsplit=1)[0]


def authorization(url: str) -> str | None:
    """The Authorization value for the credentials in the URL; None if there are none.

    The scheme is Basic (RFC 7617 section 2). User and password are percent-decoded and sent as
    UTF-8 (section 2.1).
    """
    userinfo = _split_authority(url.partition("//")[2])[0].rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    if not (user or password):
        return None
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode()}"


def same_origin(url: str, other: str) -> bool:
    """Whether scheme, host and port are the same (RFC 6454 section 5)."""
    return _origin(url) == _origin(other)


def with_credentials_of(source: str, url: str) -> str:
    """``url`` with the user and password of ``source``, unless it has its own."""
    userinfo, at, _ = _split_authority(source.partition("//")[2])[0].rpartition("@")
    scheme, slashes, rest = url.partition("//")
    if not at or "@" in _split_authority(rest)[0]:
        return url
    return f"{scheme}{slashes}{userinfo}@{rest}"


def authority(url: str) -> str:
    """The URL's host, and its port if it names one: it identifies a mirror and is no secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _split_authority(rest: str) -> tuple[str, str]:
    """The authority, and what follows it: path, query and fragment (RFC 3986 section 3.2)."""
    end = next((n for n, character in enumerate(rest) if character in "/?#"), len(rest))
    return rest[:end], rest[end:]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    # RFC 6454 section 4: the scheme, the host in lower case, and the port or the scheme's default.
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
