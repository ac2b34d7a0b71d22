"""Hypothesis strategies for valid and invalid requests of the API, and for origins.

They need Hypothesis, which `pip install spsd[testing]` installs.
"""

import string
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from spsd.testing.origin import (
    Act,
    Chunked,
    CutAfter,
    Drip,
    Flip,
    Gzip,
    Hang,
    Html,
    IgnoreIfRange,
    IgnoreRange,
    Multipart,
    NeverSatisfyIfRange,
    NoContentRange,
    NoLength,
    NoValidator,
    Redirect,
    Refuse,
    SlowHeaders,
    Status,
    Swap,
    TooLong,
    TooLongChunked,
    TooShort,
    WeakValidator,
    Whole,
    WrongOffset,
    WrongTotal,
)

URL_LIMIT: Final = 8 * 1024
MIRROR_LIMIT: Final = 16
_LABEL: Final = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
_PATH: Final = st.text(string.ascii_letters + string.digits + "/-._~%2F?=&+@:", max_size=40)


def digests() -> SearchStrategy[str]:
    """SHA-256 digests as a client may write them: 64 hexadecimal digits, in either case."""
    return st.text("0123456789abcdefABCDEF", min_size=64, max_size=64)


def urls() -> SearchStrategy[str]:
    """Valid URLs of a fetch; their hosts end in .invalid (RFC 2606), so no server responds."""
    return st.builds(
        "{}://{}{}.invalid{}/{}".format,
        st.sampled_from(["http", "https", "HTTP"]),
        st.sampled_from(["", "", "user@", "user:p%40ss@"]),
        _LABEL,
        st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format)),
        _PATH,
    )


def fetch_bodies(
    url: SearchStrategy[str] | None = None, digest: SearchStrategy[str] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Bodies of ``POST /api/firmware/fetch`` that are accepted; only documented members."""
    return st.fixed_dictionaries(
        {
            "url": urls() if url is None else url,
            "checksum": st.fixed_dictionaries({"sha256": digests() if digest is None else digest}),
        }
    )


@dataclass(frozen=True, slots=True)
class InvalidBody:
    """A body that is refused; the error message must name the invalid `member`."""

    body: Any
    member: str


_INVALID_URLS: Final = (
    "", "image.iso", "/image.iso", "//host.invalid/a", "ftp://host.invalid/a", "file:///etc/passwd",
    "http://", "http:///a", "http://host.invalid:65536/", "http://host.invalid:port/",
    "http://host.invalid/a b", "http://host.invalid/\n", "http://[::1/", "http://a..b.invalid/",
    "http://host.invalid/" + "a" * URL_LIMIT,
)  # fmt: skip
_NOT_A_STRING: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.lists(st.integers(), max_size=2)
)


def invalid_urls() -> SearchStrategy[str]:
    """Strings that are not a valid URL of a fetch."""
    return st.sampled_from(_INVALID_URLS)


def invalid_digests() -> SearchStrategy[str]:
    """Strings that are not a SHA-256 digest."""
    hexadecimal = st.text("0123456789abcdef", max_size=130).filter(lambda text: len(text) != 64)
    letters = st.text(string.ascii_letters, min_size=64, max_size=64)
    return st.one_of(
        hexadecimal, letters.filter(lambda text: set(text.lower()) - set("abcdef") != set())
    )


def invalid_fetch_bodies() -> SearchStrategy[InvalidBody]:
    """Bodies of ``POST /api/firmware/fetch`` that are refused with 400, each with its error.

    Each has one error: `url`, `checksum`, `sha256`, or an unknown member.
    """
    good = fetch_bodies()
    name = _LABEL.filter(lambda name: name not in {"url", "checksum", "mirrors", "sha256"})
    return st.one_of(
        st.builds(_with, good, st.just("url"), st.one_of(invalid_urls(), _NOT_A_STRING)),
        st.builds(_without, good, st.sampled_from(["url", "checksum"])),
        st.builds(_with, good, st.just("checksum"), st.one_of(_NOT_A_STRING, st.text(max_size=3))),
        st.builds(_with_digest, good, st.one_of(invalid_digests(), _NOT_A_STRING)),
        st.builds(_with, good, name, st.integers()),
        good.map(lambda body: InvalidBody(body | {"checksum": {}}, "sha256")),
    )


def _with(body: dict[str, Any], member: str, value: object) -> InvalidBody:
    return InvalidBody(body | {member: value}, member)


def _with_digest(body: dict[str, Any], value: object) -> InvalidBody:
    return InvalidBody(body | {"checksum": {"sha256": value}}, "sha256")


def _without(body: dict[str, Any], member: str) -> InvalidBody:
    return InvalidBody({name: value for name, value in body.items() if name != member}, member)


def tolerated_headers() -> SearchStrategy[dict[str, str]]:
    """Request header fields that clients send and that must not change the response."""
    json = "application/json"
    return st.fixed_dictionaries(
        {},
        optional={
            "Content-Type": st.sampled_from(
                [json, f"{json}; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"]
            ),
            "Accept": st.sampled_from([json, "*/*", "application/octet-stream", "text/html;q=0.1"]),
            "User-Agent": st.sampled_from(["curl/8.5.0", "", "a test"]),
            "Accept-Language": st.just("hu, en;q=0.5"),
            "X-Unknown-Field": st.text(string.printable.strip(), max_size=100),
        },
    )


_PLAIN: Final[tuple[Act, ...]] = (
    Whole(), Refuse(), Chunked(), NoLength(), IgnoreRange(), IgnoreIfRange(),
    NeverSatisfyIfRange(), NoContentRange(), NoValidator(), WeakValidator(),
)  # fmt: skip


def curable_acts(size: int = 4096) -> SearchStrategy[Act]:
    """Acts that delay a download but never make it fail; `size` is the object's, in bytes."""
    return st.one_of(
        st.sampled_from(_PLAIN),
        st.builds(CutAfter, st.integers(0, size), st.booleans()),
        st.builds(Hang, st.integers(0, size)),
        st.builds(Drip, st.integers(max(1, size // 16), max(1, size)), st.just(0.01)),
        st.builds(SlowHeaders, st.sampled_from([0.005, 0.05])),
        st.builds(WrongOffset, st.sampled_from([-1, 1, 7])),
        st.builds(WrongTotal, st.integers(0, 2 * size)),
        st.builds(Status, st.sampled_from([429, 500, 502, 503, 504]), st.sampled_from([None, 0])),
    )


def acts(size: int = 4096) -> SearchStrategy[Act]:
    """All acts of an origin, with those that make a job fail; `size` is the object's, in bytes."""
    return st.one_of(
        curable_acts(size),
        st.builds(Status, st.sampled_from([204, 304, 400, 401, 403, 404, 408, 410, 412, 416])),
        st.builds(Html, st.sampled_from(["", "<html>log in</html>"])),
        st.builds(Redirect, st.sampled_from(["/nowhere", "ftp://host.invalid/", "#"])),
        st.builds(Swap, st.binary(max_size=64), st.booleans()),
        st.builds(TooLong, st.integers(1, size)),
        st.builds(TooLongChunked, st.integers(1, size)),
        st.builds(TooShort, st.integers(1, size)),
        st.builds(Flip, st.integers(0, size - 1)),
        st.sampled_from([Gzip(), Multipart()]),
    )


def curable_scripts(size: int = 4096, *, longest: int = 4) -> SearchStrategy[tuple[Act, ...]]:
    """Scripts for an origin that delay a download but never make it fail, one act per request."""
    return st.lists(curable_acts(size), max_size=longest).map(tuple)


def scripts(size: int = 4096, *, longest: int = 4) -> SearchStrategy[tuple[Act, ...]]:
    """Scripts for an origin, one act per request."""
    return st.lists(acts(size), max_size=longest).map(tuple)
