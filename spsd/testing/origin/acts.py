"""The acts of a hostile origin: what it can do instead of a correct response.

The union `Act` is closed. Its parts are the steps at which an act applies, and each part has its
own `match`:

- before a request is read: `Refuse`
- instead of the object: `ReplacingAct`
- the choice of the bytes: `RangeAct`
- the header fields that describe them: `HeaderAct`
- the body and its framing: `BodyAct`
- the way in which the response is sent: `DeliveryAct`

Acts about ranges send a correct response if the request has no Range field.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, get_args


@dataclass(frozen=True, slots=True)
class Whole:
    """Send a correct response."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace the object with these bytes for good, under a new ETag unless keep_etag is set."""

    content: bytes
    keep_etag: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Accept the connection and reset it at once."""


@dataclass(frozen=True, slots=True)
class Status:
    """Respond with this status, an optional Retry-After (seconds or an HTTP-date) and body."""

    code: int
    retry_after: int | str | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Html:
    """Respond 200 with this text as text/html, as a login page does."""

    text: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Redirect to this location."""

    location: str
    code: int = 302


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """Respond 200 with the whole object despite Range."""


@dataclass(frozen=True, slots=True)
class IgnoreIfRange:
    """Respond 206 although the validator in If-Range differs."""


@dataclass(frozen=True, slots=True)
class NeverSatisfyIfRange:
    """Respond 200 to each request with If-Range, even if the validator matches."""


@dataclass(frozen=True, slots=True)
class WrongOffset:
    """Respond 206 from shift bytes after the requested offset, with a true Content-Range."""

    shift: int


@dataclass(frozen=True, slots=True)
class NoContentRange:
    """Respond 206 without Content-Range."""


@dataclass(frozen=True, slots=True)
class WrongTotal:
    """Respond 206 with this total in Content-Range."""

    total: int


@dataclass(frozen=True, slots=True)
class NoValidator:
    """Leave ETag and Last-Modified out of this response."""


@dataclass(frozen=True, slots=True)
class WeakValidator:
    """Send the ETag of this response as a weak one (W/)."""


@dataclass(frozen=True, slots=True)
class Chunked:
    """Send chunked, without Content-Length."""


@dataclass(frozen=True, slots=True)
class NoLength:
    """Send as HTTP/1.0: no Content-Length, the end of the connection ends the body."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """Announce and send this many bytes more than the object has."""

    extra: int


@dataclass(frozen=True, slots=True)
class TooLongChunked:
    """Send chunked, this many bytes more than the object has."""

    extra: int


@dataclass(frozen=True, slots=True)
class TooShort:
    """Announce and send this many bytes fewer than the object has."""

    missing: int


@dataclass(frozen=True, slots=True)
class Gzip:
    """Send the whole object gzip-coded and chunked although no coding was requested."""


@dataclass(frozen=True, slots=True)
class Multipart:
    """Respond 206 as multipart/byteranges with one part."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Invert the bits of the byte at this offset of the response body."""

    offset: int


@dataclass(frozen=True, slots=True)
class CutAfter:
    """Announce the full length, send n body bytes, then close (FIN), or reset (RST) with reset."""

    n: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Send this many body bytes per write, with a pause of so many seconds between writes."""

    bytes_per_write: int
    interval_s: float

    def __post_init__(self) -> None:
        if self.bytes_per_write < 1:
            raise ValueError("bytes_per_write must be at least one byte")


@dataclass(frozen=True, slots=True)
class Hang:
    """Announce the full length, send this many body bytes, then nothing until the client closes."""

    after: int


@dataclass(frozen=True, slots=True)
class SlowHeaders:
    """Wait for this many seconds before sending the headers."""

    delay_s: float


CorrectAct: TypeAlias = Whole | Swap
ReplacingAct: TypeAlias = Status | Html | Redirect
RangeAct: TypeAlias = IgnoreRange | IgnoreIfRange | NeverSatisfyIfRange | WrongOffset
HeaderAct: TypeAlias = NoContentRange | WrongTotal | NoValidator | WeakValidator
BodyAct: TypeAlias = (
    Chunked | NoLength | TooLong | TooLongChunked | TooShort | Gzip | Multipart | Flip
)
DeliveryAct: TypeAlias = CutAfter | Drip | Hang | SlowHeaders

RespondingAct: TypeAlias = CorrectAct | ReplacingAct | RangeAct | HeaderAct | BodyAct | DeliveryAct
Act: TypeAlias = RespondingAct | Refuse

ACTS: Final[tuple[type[Act], ...]] = get_args(Act)
