"""Random scripts for a hostile origin; each depends only on its number, so it can be repeated."""

import hashlib
from dataclasses import dataclass
from random import Random

from spsd.testing.origin import (
    ACTS,
    Act,
    Chunked,
    CutAfter,
    Drip,
    Flip,
    Hang,
    Html,
    IgnoreIfRange,
    IgnoreRange,
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

PATH = "/image"
SMALLEST, LARGEST = 16, 4096
EXTRA = 512
"""Bytes that an act may add to the object: filler, or the frame of a multipart."""
CURABLE = (
    Whole, Refuse, CutAfter, Hang, Drip, SlowHeaders, Chunked, NoLength, IgnoreRange, IgnoreIfRange,
    NeverSatisfyIfRange, WrongOffset, NoContentRange, WrongTotal, NoValidator, WeakValidator,
)  # fmt: skip
"""Acts that may make an attempt fail, but never the job."""
THRIFTY = (Whole, Refuse, Status, Chunked, NoLength, SlowHeaders, Drip)
"""Acts that waste no byte; a `CutAfter` without a reset wastes none either."""
STATUSES = (204, 304, 400, 403, 404, 408, 412, 416, 425, 429, 500, 503)
ETAGS = (None, None, '"same"', 'W/"same"', " ")
"""The origin's ETags: a strong one per content (None), the same for all, a weak one, none."""


@dataclass(frozen=True)
class Sequence:
    number: int
    content: bytes
    wanted: bytes
    etag: str | None
    acts: tuple[Act, ...]
    always: Act

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wanted).hexdigest()

    @property
    def is_curable(self) -> bool:
        """Whether the job can fail only because it has no attempts left."""
        curable = all(isinstance(act, CURABLE) for act in self.acts)
        return curable and self.always == Whole() and self.wanted == self.content

    @property
    def is_thrifty(self) -> bool:
        """Whether the client must keep every byte that the origin sends."""
        return self.wanted == self.content and all(
            isinstance(act, THRIFTY) or (isinstance(act, CutAfter) and not act.reset)
            for act in (*self.acts, self.always)
        )

    def __str__(self) -> str:
        shown = ", ".join(_short(act) for act in self.acts)
        same = "what is there" if self.wanted == self.content else "what is swapped in"
        return (
            f"sequence {self.number}: {len(self.content)} bytes, wants {same}, etag {self.etag!r}, "
            f"acts {shown or 'none'}, then {_short(self.always)}"
        )


def sequence(number: int) -> Sequence:
    """Up to eight acts, then most often correct responses, and sometimes one act for ever."""
    random = Random(f"spsd {number}")
    # Each image is different, so that no slot holds it already.
    content = b"\0" + random.randbytes(random.randint(SMALLEST, LARGEST) - 1)
    other = _other(random, content)
    # Half of the scripts have no act that makes a job fail at once, so that they run longer.
    kinds = (*(ACTS if random.random() < 0.5 else (*CURABLE, Swap)), CutAfter, CutAfter, Swap)
    acts = tuple(_act(random, kinds, content, other) for _ in range(random.randint(0, 8)))
    always = Whole() if random.random() < 0.8 else _act(random, ACTS, content, other)
    wanted = content if random.random() < 0.7 else other
    return Sequence(number, content, wanted, random.choice(ETAGS), acts, always)


def _other(random: Random, content: bytes) -> bytes:
    """Another object: all bytes different, one byte different, longer, or shorter."""
    match random.randrange(4):
        case 0:
            return b"\0" + random.randbytes(len(content))[1:]
        case 1:
            at = random.randrange(len(content))
            return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        case 2:
            return content + random.randbytes(random.randint(1, EXTRA))
        case _:
            return content[: random.randint(SMALLEST, len(content))]


def _act(random: Random, kinds: tuple[type[Act], ...], content: bytes, other: bytes) -> Act:
    size = len(content)
    kind = random.choice(kinds)
    arguments: dict[type[Act], tuple[object, ...]] = {
        Swap: (random.choice((content, other)), random.random() < 0.5),
        Status: (random.choice(STATUSES), random.choice((None, 0, "soon"))),
        Html: (random.choice(("<html>log in", "log in", "")),),
        Redirect: (random.choice((PATH, "/nowhere", "ftp://x/")),),
        WrongOffset: (random.choice((-1, 1, 7, size)),),
        WrongTotal: (random.choice((0, 1, size - 1, size + 1)),),
        TooLong: (random.randint(1, EXTRA),),
        TooLongChunked: (random.randint(1, EXTRA),),
        TooShort: (random.randint(1, size),),
        Flip: (random.randrange(size),),
        CutAfter: (random.choice((0, random.randint(1, size), size)), random.random() < 0.3),
        Drip: (random.randint(200, 1000), 0.001),
        Hang: (random.choice((0, random.randint(1, size))),),
        SlowHeaders: (0.005,),
    }
    return kind(*arguments.get(kind, ()))


def _short(act: Act) -> str:
    if isinstance(act, Swap):
        return f"Swap({len(act.content)} bytes, keep_etag={act.keep_etag})"
    return repr(act)
