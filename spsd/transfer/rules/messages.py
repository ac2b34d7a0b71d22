"""The values of resuming a download: the prefix on disk, requests, response heads and verdicts.

Sections are those of RFC 9110.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from spsd.failures import OriginError

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The bytes on disk, a plain prefix of the object, and what their origin stated about it.

    ``length`` and ``total`` are bytes; ``total`` is None if the origin did not state the size.
    ``same_url`` is true if the ETag came from the URL that is requested now. An ETag of another
    URL is ignored: a mirror may name the same bytes differently, or other bytes alike.
    """

    length: int = 0
    total: int | None = None
    etag: str | None = None
    same_url: bool = True

    @property
    def validator(self) -> str | None:
        """The validator for If-Range: a strong ETag of this URL, or None.

        If-Range must not carry a weak ETag (section 13.1.5). It may carry a date that is known to
        be strong (section 8.8.2.2); that is rarely known, so dates are not used.
        """
        strong = self.same_url and self.etag is not None and is_strong(self.etag)
        return self.etag if strong else None


@dataclass(frozen=True, slots=True)
class Windows:
    """How many bytes of the prefix are compared with the origin if there is no validator.

    A window is ``size`` bytes. At most two are compared, one at the beginning and one at the end of
    the prefix, and neither is longer than a quarter of the prefix. The first 64 KiB of an ISO 9660
    image contain its volume descriptor, with the time at which the image was made.
    """

    size: int = 64 * 1024
    probe_from: int = 256 * 1024
    """From this prefix length on, the beginning is compared too, with a request of its own."""

    def shrunk(self, breaks: int) -> "Windows":
        """The windows after ``breaks`` broken connections in a row without a new byte.

        Each broken connection divides the size by four, down to 64 bytes. Otherwise a line that
        always breaks before a whole window has arrived would never get past the comparison.
        """
        size = max(min(self.size, 64), self.size >> 2 * breaks)
        return Windows(size, self.probe_from)

    @property
    def refetch_limit(self) -> int:
        """Up to this prefix length the object is fetched again rather than compared."""
        return max(4, self.size // 16)

    def overlap(self, length: int) -> int:
        """How many bytes at the end of a prefix of ``length`` bytes are requested again."""
        return min(self.size, length // 4)


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A GET. The missing bytes begin at ``offset``; 0 requests the whole object, without Range.

    ``if_range`` is the validator in If-Range. ``overlap``: so many bytes before ``offset`` are
    requested too, for comparison. ``probe``: only so many bytes of the object's beginning are
    requested, for comparison. ``stop`` is the position after the last byte; 0: up to the end.
    """

    offset: int = 0
    if_range: str | None = None
    overlap: int = 0
    probe: int = 0
    stop: int = 0

    @property
    def first(self) -> int:
        """The position of the first requested byte."""
        return 0 if self.probe else self.offset - self.overlap

    @property
    def strength(self) -> int:
        """How much the request relies on, from 0 (nothing) to 4 (the origin honours If-Range).

        Each further request of an attempt has a lower strength, so an attempt has at most five.
        """
        if self.offset == 0:
            return 0
        if self.overlap or self.probe:
            return 2 if self.probe else 1
        return 3 if self.if_range is None else 4

    def headers(self) -> dict[str, str]:
        """Range and If-Range (sections 14.2 and 13.1.5); none for the whole object."""
        if self.offset == 0:
            return {}
        stop = self.probe or self.stop
        fields = {"Range": f"bytes={self.first}-{stop - 1 if stop else ''}"}
        if self.if_range is not None:
            fields["If-Range"] = self.if_range
        return fields


@dataclass(frozen=True, slots=True)
class Span:
    """A Content-Range: the bytes ``first`` to ``last``, both included, of ``total`` if stated."""

    first: int
    last: int
    total: int | None

    @property
    def is_possible(self) -> bool:
        """Whether the range is valid: it is not empty and ends within the object (section 14.4)."""
        return self.first <= self.last and (self.total is None or self.last < self.total)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response; header field names are in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Content-Length in bytes (section 8.6); None if absent or no number of up to 18 digits."""
        match = _LENGTH.fullmatch(self.headers.get("content-length", ""))
        return int(match[0]) if match is not None else None

    @property
    def span(self) -> Span | None:
        """Content-Range of a 206 (section 14.4); None if absent, unreadable or not in bytes."""
        match = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", "").strip())
        if match is None:
            return None
        return Span(int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3]))

    @property
    def complete_length(self) -> int | None:
        """The object's size in the Content-Range of a 416, ``bytes */size`` (section 15.5.17)."""
        match = _UNSATISFIED.fullmatch(self.headers.get("content-range", "").strip())
        return int(match[1]) if match is not None else None

    @property
    def coding(self) -> str:
        """Content-Encoding in lower case (section 8.4); empty if there is none, or "identity"."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        return "" if coding == "identity" else coding

    @property
    def media_type(self) -> str:
        """Content-Type in lower case, without parameters (section 8.3); empty if there is none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class ValidatorMatch(Enum):
    """Whether the ETags show that the prefix and the response belong to one object."""

    YES = auto()
    """Both are strong, and equal (strong comparison, section 8.8.3.2)."""
    NO = auto()
    """They differ even by weak comparison (section 8.8.3.2)."""
    UNKNOWN = auto()
    """One is missing or weak, or they come from two URLs: nothing follows."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """All that decides what a response means: its request, the prefix and its head.

    ``now`` is in seconds since the epoch, for a date in Retry-After.
    """

    request: RangeRequest
    prefix: Prefix
    head: ResponseHead
    now: int
    windows: Windows = field(default_factory=Windows)

    @property
    def validator_match(self) -> ValidatorMatch:
        """The result of comparing the prefix's ETag with the response's (section 8.8.3.2)."""
        ours, theirs = self.prefix.etag, self.head.headers.get("etag", "").strip()
        if not self.prefix.same_url or not ours or not theirs:
            return ValidatorMatch.UNKNOWN
        if ours == theirs and is_strong(ours):
            return ValidatorMatch.YES
        return (
            ValidatorMatch.UNKNOWN
            if ours.removeprefix("W/") == theirs.removeprefix("W/")
            else ValidatorMatch.NO
        )


@dataclass(frozen=True, slots=True)
class Complete:
    """Every byte of the object is on disk; only its digest is still to be compared."""


@dataclass(frozen=True, slots=True)
class Append:
    """The body continues the prefix at ``offset``; the object has ``total`` bytes, if known.

    The body's first ``overlap`` bytes lie before ``offset``: they are compared, not appended.
    """

    offset: int
    total: int | None
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Restart:
    """The body is the whole object, of ``total`` bytes if known, and replaces the prefix.

    ``why`` is the reason, for the log and the job's history.
    """

    total: int | None
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """The body is the object's first ``length`` bytes; ``then`` follows if the prefix has them."""

    length: int
    then: RangeRequest


@dataclass(frozen=True, slots=True)
class RequestAgain:
    """This response cannot be used; ``request`` may get a usable one from the same origin.

    ``why`` is the reason, for the log and the job's history.
    """

    request: RangeRequest
    why: str


@dataclass(frozen=True, slots=True)
class Reject:
    """The attempt fails with ``error``, which states whether a later attempt may succeed."""

    error: OriginError


ResponseDecision = Append | Restart | Complete | Compare | RequestAgain | Reject


def is_strong(etag: str) -> bool:
    """Whether the ETag is a strong validator: quoted, without the prefix W/ (section 8.8.3)."""
    return len(etag) >= 2 and etag.startswith('"') and etag.endswith('"')
