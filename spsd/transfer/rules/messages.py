"""The values of resume: what is kept, what is asked, what is answered, and the verdicts on it.

References are to RFC 9110.
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
    """What an earlier attempt left: a plain prefix, and what its origin said of the object.

    The validators count only for ``same_url``: a mirror names the same bytes differently.
    """

    length: int = 0
    total: int | None = None
    etag: str | None = None
    same_url: bool = True

    @property
    def validator(self) -> str | None:
        """What If-Range may carry to this URL: a strong ETag only.

        A date could serve too if it were known to be strong (section 8.8.2.2); it rarely is.
        """
        strong = self.same_url and self.etag is not None and is_strong(self.etag)
        return self.etag if strong else None


@dataclass(frozen=True, slots=True)
class Windows:
    """How much of what is kept is compared with the origin where no validator vouches for it.

    ``size`` bytes at each of at most two places, and never more than a quarter of what is kept at
    one. The first 64 KiB of an ISO 9660 image hold its volume descriptor, with the time at which
    the image was made.
    """

    size: int = 64 * 1024
    probe_from: int = 256 * 1024
    """From so many bytes on a request of its own for the beginning is worth its while."""

    def after(self, breaks: int) -> "Windows":
        """Smaller ones after ``breaks`` of the line in a row without a new byte.

        A line that always breaks before it has sent a window must not be asked for one for ever.
        """
        size = max(min(self.size, 64), self.size >> 2 * breaks)
        return Windows(size, self.probe_from)

    @property
    def least(self) -> int:
        """Up to so many bytes are fetched anew rather than compared."""
        return max(4, self.size // 16)

    def overlap(self, length: int) -> int:
        """How much of the end of ``length`` bytes is asked for again."""
        return min(self.size, length // 4)


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A GET. The bytes that are wanted begin at ``offset``; 0: the whole object, without Range.

    ``if_range`` is a condition on it; ``overlap`` bytes before ``offset`` are asked for with it,
    to be compared; ``probe`` asks for that many bytes of the beginning alone, to be compared.
    ``stop``: the bytes from there on are not wanted; 0: all are.
    """

    offset: int = 0
    if_range: str | None = None
    overlap: int = 0
    probe: int = 0
    stop: int = 0

    @property
    def first(self) -> int:
        """The position of the first byte that is asked for."""
        return 0 if self.probe else self.offset - self.overlap

    @property
    def strength(self) -> int:
        """How much the ask takes for granted; another ask in its place takes less."""
        if self.offset == 0:
            return 0
        if self.overlap or self.probe:
            return 2 if self.probe else 1
        return 3 if self.if_range is None else 4

    def headers(self) -> dict[str, str]:
        """The request header fields (sections 14.2 and 13.1.5)."""
        if self.offset == 0:
            return {}
        stop = self.probe or self.stop
        fields = {"Range": f"bytes={self.first}-{stop - 1 if stop else ''}"}
        if self.if_range is not None:
            fields["If-Range"] = self.if_range
        return fields


@dataclass(frozen=True, slots=True)
class Span:
    """A Content-Range: from ``first`` to ``last``, of ``total`` bytes if that is said."""

    first: int
    last: int
    total: int | None

    @property
    def is_possible(self) -> bool:
        """Whether there can be such a part (section 14.4)."""
        return self.first <= self.last and (self.total is None or self.last < self.total)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of an answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Content-Length, where it is a number that a file may have."""
        found = _LENGTH.fullmatch(self.headers.get("content-length", ""))
        return int(found[0]) if found is not None else None

    @property
    def span(self) -> Span | None:
        """Content-Range, where it names bytes."""
        found = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", "").strip())
        if found is None:
            return None
        return Span(int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3]))

    @property
    def whole_size(self) -> int | None:
        """The size that a 416 tells (section 15.5.17)."""
        found = _UNSATISFIED.fullmatch(self.headers.get("content-range", "").strip())
        return int(found[1]) if found is not None else None

    @property
    def coding(self) -> str:
        """Content-Encoding in lower case; empty: none."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        return "" if coding == "identity" else coding

    @property
    def media_type(self) -> str:
        """Content-Type in lower case, without parameters."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class ValidatorMatch(Enum):
    """What the ETags say of the kept object and the one on the origin."""

    YES = auto()
    """Both strong and equal (section 8.8.3.2)."""
    NO = auto()
    """Different, even if they are compared weakly."""
    UNKNOWN = auto()
    """One is missing or weak, or they come from two URLs."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything that a verdict on a reply is made from; ``now`` is epoch seconds."""

    request: RangeRequest
    prefix: Prefix
    head: ResponseHead
    now: int
    windows: Windows = field(default_factory=Windows)

    @property
    def validator_match(self) -> ValidatorMatch:
        """Compare the ETags."""
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
    """Every byte is here already; what is left is the proof."""


@dataclass(frozen=True, slots=True)
class Append:
    """The body continues the prefix at ``offset``; the object has ``total`` bytes.

    Its first ``overlap`` bytes are those before ``offset``: they are compared, not appended.
    """

    offset: int
    total: int | None
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Restart:
    """The body is the whole object, of ``total`` bytes; the prefix goes."""

    total: int | None
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """The body is the object's first ``length`` bytes; if they are those kept, ask ``then``."""

    length: int
    then: RangeRequest


@dataclass(frozen=True, slots=True)
class RequestAgain:
    """This reply is of no use, but the same origin may have a better one to ``ask``."""

    request: RangeRequest
    why: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Nothing to be had now; ``error`` says whether a later attempt may do better."""

    error: OriginError


ResponseDecision = Append | Restart | Complete | Compare | RequestAgain | Reject


def is_strong(etag: str) -> bool:
    """Whether the ETag is a strong validator (section 8.8.3)."""
    return len(etag) >= 2 and etag.startswith('"') and etag.endswith('"')
