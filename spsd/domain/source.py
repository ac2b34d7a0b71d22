"""Where an image comes from: the URL of a request, and what of it may be shown again."""

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

from spsd.domain.errors import InvalidRequestBodyError

URL_LIMIT = 8 * 1024
"""Longest accepted URL in bytes; RFC 9110 section 4.1 asks for 8,000 at least."""

MIRROR_LIMIT = 16
"""Most mirrors that a request may name."""

_SCHEMES = ("http", "https")
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
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        text.encode()
    except (ValueError, UnicodeError) as error:
        return f"is no valid URL: {error}"
    if parts.scheme not in _SCHEMES:
        return f"must begin with http:// or https://, not {parts.scheme or 'nothing'}"
    if not host:
        return "names no host"
    return _host_problem(host)


def _host_problem(host: str) -> str | None:
    if ":" in host:
        return None  # a bracketed IPv6 literal, which urlsplit has checked
    try:
        host.removesuffix(".").encode("idna")
    except UnicodeError as error:
        return f"has a host name that cannot be looked up: {error}"
    return None


def displayed(url: str) -> str:
    """The URL as it may be shown, logged and stored in history: without credentials."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(_without_userinfo(parts))


def authority(url: str) -> str:
    """The URL's host, and port if it names one: enough to tell mirrors apart, and no secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _without_userinfo(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])
