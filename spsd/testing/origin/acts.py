"""The vocabulary of a hostile origin: what it may do instead of answering well.

The union is closed. Its parts are the places where an act takes hold, each dispatched by a `match`
of its own: before a request is read (`Refuse`), in place of the object (`Instead`), in the choice
of the bytes (`Selecting`), in what is said of them (`Relabelling`), in how they are framed
(`Reframing`) and in how the reply goes out (`Delivering`).

Acts about ranges behave well when the request asks for no range.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, get_args


@dataclass(frozen=True, slots=True)
class Whole:
    """Behave well: what was asked for, honestly labelled."""


@dataclass(frozen=True, slots=True)
class Swap:
    """From now on the object here is these bytes, under a new ETag unless keep_etag is set."""

    content: bytes
    keep_etag: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Accept the connection and reset it at once."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status, an optional Retry-After (seconds or an HTTP-date) and body."""

    code: int
    retry_after: int | str | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Html:
    """Answer 200 with this text as text/html, as a login page does."""

    text: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Redirect to this location."""

    location: str
    code: int = 302


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """Answer 200 with the whole object despite Range."""


@dataclass(frozen=True, slots=True)
class IgnoreIfRange:
    """Answer 206 although the validator in If-Range differs."""


@dataclass(frozen=True, slots=True)
class NeverSatisfyIfRange:
    """Answer 200 to any request with If-Range, even if the validator is right."""


@dataclass(frozen=True, slots=True)
class WrongOffset:
    """Answer 206 from shift bytes further on than asked, with a Content-Range that says so."""

    shift: int


@dataclass(frozen=True, slots=True)
class NoContentRange:
    """Answer 206 without Content-Range."""


@dataclass(frozen=True, slots=True)
class WrongTotal:
    """Answer 206 with this total in Content-Range."""

    total: int


@dataclass(frozen=True, slots=True)
class NoValidator:
    """Leave ETag and Last-Modified out of this reply."""


@dataclass(frozen=True, slots=True)
class WeakValidator:
    """Show the ETag of this reply as a weak one (W/)."""


@dataclass(frozen=True, slots=True)
class Chunked:
    """Send chunked, without Content-Length."""


@dataclass(frozen=True, slots=True)
class NoLength:
    """Send as HTTP/1.0 did: no Content-Length, the end of the connection ends the body."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """Announce and send this many bytes more than there are."""

    extra: int


@dataclass(frozen=True, slots=True)
class TooLongChunked:
    """Send chunked, this many bytes more than there are."""

    extra: int


@dataclass(frozen=True, slots=True)
class TooShort:
    """Announce and send this many bytes fewer than there are."""

    missing: int


@dataclass(frozen=True, slots=True)
class Gzip:
    """Send the whole object gzip-coded and chunked although nobody asked for a coding."""


@dataclass(frozen=True, slots=True)
class Multipart:
    """Answer 206 as multipart/byteranges with one part."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Flip the bits of the byte at this offset of this reply's body."""

    offset: int


@dataclass(frozen=True, slots=True)
class CutAfter:
    """Announce everything, send n body bytes, then close (FIN), or reset (RST) if reset is set."""

    n: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Send this many body bytes at a time, with a pause between writes."""

    bytes_per_write: int
    interval_s: float

    def __post_init__(self) -> None:
        if self.bytes_per_write < 1:
            raise ValueError("a drip has at least one byte")


@dataclass(frozen=True, slots=True)
class Hang:
    """Announce everything, send this many body bytes, then nothing until the client goes away."""

    after: int


@dataclass(frozen=True, slots=True)
class SlowHeaders:
    """Wait before sending the headers."""

    delay_s: float


Behaving: TypeAlias = Whole | Swap
Instead: TypeAlias = Status | Html | Redirect
Selecting: TypeAlias = IgnoreRange | IgnoreIfRange | NeverSatisfyIfRange | WrongOffset
Relabelling: TypeAlias = NoContentRange | WrongTotal | NoValidator | WeakValidator
Reframing: TypeAlias = (
    Chunked | NoLength | TooLong | TooLongChunked | TooShort | Gzip | Multipart | Flip
)
Delivering: TypeAlias = CutAfter | Drip | Hang | SlowHeaders

Answering: TypeAlias = Behaving | Instead | Selecting | Relabelling | Reframing | Delivering
Act: TypeAlias = Answering | Refuse

ACTS: Final[tuple[type[Act], ...]] = get_args(Act)
