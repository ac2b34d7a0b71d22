"""Where an image comes from: the URL of a request, and what of it may be shown again."""

import re
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes, urlsplit

from spsd.errors import InvalidRequestBodyError

URL_LIMIT = 8 * 1024
"""Longest accepted URL in bytes; RFC 9110 section 4.1 asks for 8,000 at least."""
MIRROR_LIMIT = 16
"""Most mirrors that a request may name."""
_SCHEMES = frozenset({"http", "https"})
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")


def parse_source_url(text: str, *, field: str = "url") -> str:
    """Accept an absolute http or https URL with a host; give it back as it was sent.

    Raises:
        InvalidRequestBodyError: anything else; the error names ``field``.
    """
    if (problem := _problem(text)) is not None:
        raise InvalidRequestBodyError(f"`{field}` {problem}.", field=field)
    return text


def distinct_mirrors(url: str, mirrors: Sequence[str]) -> tuple[str, ...]:
    """The mirrors in their order, without what is named twice or is ``url`` itself."""
    return tuple(mirror for mirror in dict.fromkeys(mirrors) if mirror != url)


def _problem(text: str) -> str | None:
    if len(text.encode(errors="replace")) > URL_LIMIT:
        return f"is longer than {URL_LIMIT} bytes"
    if _FORBIDDEN.search(text):
        return "contains a space or a control character; write it percent-encoded"
    # What the library says of a bad URL repeats a part of it, which may be the password.
    try:
        parts = urlsplit(text)
        host = parts.hostname
        text.encode()
    except ValueError:  # or a UnicodeError, which is one
        return "is no valid URL"
    try:
        _ = parts.port
    except ValueError:
        return "is no valid URL: its port is no number up to 65535"
    if parts.scheme not in _SCHEMES:
        return f"must begin with http:// or https://, not {parts.scheme or 'nothing'}"
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
    """The URL as it may be shown again to whoever asked for it: without credentials."""
    scheme, slashes, rest = url.partition("//")
    authority, after = _split(rest)
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{after}"


def redacted(url: str) -> str:
    """The URL as it may stand in a log or an error: without credentials, query and fragment.

    The query of a signed URL lets whoever reads it fetch.
    """
    return re.split("[?#]", without_credentials(url), maxsplit=1)[0]


def authorization(url: str) -> str | None:
    """The credentials in the URL as Basic (RFC 7617), in UTF-8; None if there are none."""
    userinfo = _split(url.partition("//")[2])[0].rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    if not (user or password):
        return None
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode()}"


def same_origin(one: str, other: str) -> bool:
    """Whether scheme, host and port are the same (RFC 6454 section 5)."""
    return _origin(one) == _origin(other)


def with_credentials_of(source: str, url: str) -> str:
    """``url`` with the user and password in ``source``, unless it has its own."""
    userinfo, at, _ = _split(source.partition("//")[2])[0].rpartition("@")
    scheme, slashes, rest = url.partition("//")
    if not at or "@" in _split(rest)[0]:
        return url
    return f"{scheme}{slashes}{userinfo}@{rest}"


def authority(url: str) -> str:
    """The URL's host, and port if it names one: enough to tell mirrors apart, and no secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _split(rest: str) -> tuple[str, str]:
    """What stands before the path, query or fragment, and those."""
    end = next((at for at, sign in enumerate(rest) if sign in "/?#"), len(rest))
    return rest[:end], rest[end:]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
