"""The cases of the league: faults of the origin, each of which every tool is tried with."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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

MIB: Final = 1024 * 1024
SIZE: Final = 4 * MIB
HALF: Final = SIZE // 2 + 17
PATH: Final = "/image.bin"
STALL_S: Final = 1
"""The stall timeout that every tool is configured with, if it has one."""
_LOGIN: Final = "<html><title>Log in</title><form>Your password, please.</form></html>"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: the acts of the origin, and the tool's partial file beforehand.

    - ``script`` has the acts of the first requests, ``always`` the act of all later ones.
    - ``kept`` is the length of the partial file at the beginning. With ``changed`` its bytes are of
      another object of the same size; with ``same_etag`` that object had the same ETag.
    - ``surplus`` bytes follow at the end of the object that the partial file is made from.
    - ``possible`` is whether any client can get the right bytes.
    - ``least`` is the number of bytes that a client wastes which knows only what HTTP states.
    """

    name: str
    description: str
    script: Sequence[Act] = ()
    always: Act | None = None
    kept: int = 0
    changed: bool = False
    same_etag: bool = False
    surplus: int = 0
    etag: str | None = None
    validators: bool = True
    possible: bool = True
    least: int = 0

    @property
    def content(self) -> bytes:
        """The requested object; each case has its own."""
        return random.Random(self.name).randbytes(SIZE)

    @property
    def before(self) -> bytes:
        """The object on the origin while the partial file is made."""
        other = random.Random(f"{self.name} before").randbytes(SIZE)
        return (other if self.changed else self.content) + bytes(self.surplus)


CASES: Final[tuple[Case, ...]] = (
    Case("plain", "behaves well", [Whole()]),
    Case("cut-once", "closes in the middle, once", [CutAfter(HALF)]),
    Case("cut-often", "closes after each MiB, three times", [CutAfter(MIB)] * 3),
    Case("reset", "resets the connection in the middle, once", [CutAfter(HALF, reset=True)]),
    Case("refused", "resets the connection before the request, once", [Refuse()]),
    Case("slow-headers", "waits half a second before the head", [SlowHeaders(0.5)]),
    Case("slow-drip", "sends 64 bytes at a time, 640 a second, once", [Drip(64, 0.1)]),
    Case("stall", "sends half and then nothing, once", [Hang(HALF)]),
    Case("stall-for-ever", "sends a head and no byte, always", always=Hang(0), possible=False),
    Case("resume", "behaves well to a resumed download", kept=HALF),
    Case("range-ignored", "200 to a range", always=IgnoreRange(), kept=HALF, least=HALF),
    Case(
        "wrong-offset",
        "206 that starts 4096 bytes later, as its Content-Range states",
        always=WrongOffset(4096),
        kept=HALF,
        least=HALF,
    ),
    Case(
        "no-content-range",
        "206 without Content-Range",
        always=NoContentRange(),
        kept=HALF,
        least=HALF,
    ),
    Case(
        "wrong-total",
        "206 with another total in Content-Range",
        always=WrongTotal(SIZE + 1),
        kept=HALF,
        least=HALF,
    ),
    Case("multipart", "206 as multipart/byteranges, once", [Multipart()], kept=HALF, least=HALF),
    Case(
        "changed",
        "another object of that size, another ETag",
        kept=HALF,
        changed=True,
        least=HALF,
    ),
    Case(
        "changed-swap",
        "closes in the middle, then serves another object",
        [CutAfter(HALF), Swap(random.Random("changed-swap").randbytes(SIZE))],
        changed=True,
        least=HALF,
    ),
    Case(
        "changed-if-range-ignored",
        "another object, another ETag, and 206 despite If-Range",
        always=IgnoreIfRange(),
        kept=HALF,
        changed=True,
        least=HALF,
    ),
    Case(
        "changed-no-validator",
        "another object, and neither ETag nor Last-Modified",
        kept=HALF,
        changed=True,
        validators=False,
        least=SIZE,
    ),
    Case(
        "changed-weak",
        "another object, another weak ETag",
        always=WeakValidator(),
        kept=HALF,
        changed=True,
        etag='W/"before"',
        least=HALF,
    ),
    Case(
        "changed-same-etag",
        "another object under the same ETag",
        kept=HALF,
        changed=True,
        same_etag=True,
        least=SIZE,
    ),
    Case("no-validator", "206 without ETag and Last-Modified", always=NoValidator(), kept=HALF),
    Case("weak", "a weak ETag", always=WeakValidator(), kept=HALF, etag='W/"v1"'),
    Case("if-range-never", "200 to any If-Range", always=NeverSatisfyIfRange(), kept=HALF),
    Case(
        "complete",
        "416, because the partial is complete",
        kept=SIZE,
        surplus=100,
        validators=False,
    ),
    Case("gzip", "gzip-coded without a request for it, always", always=Gzip()),
    Case("chunked", "chunked, without a length", always=Chunked()),
    Case("no-length", "HTTP/1.0, the body ends with the connection", always=NoLength()),
    Case("too-short", "a shorter body and a length to match", always=TooShort(100), possible=False),
    Case("short-part", "206 with a shorter body, once", [TooShort(1000)], kept=HALF),
    Case("too-long", "a longer body and a length to match", always=TooLong(100), possible=False),
    Case("too-long-chunked", "chunked, 100 bytes more", always=TooLongChunked(100), possible=False),
    Case("long-part", "206 with 100 bytes more than its range, once", [TooLong(100)], kept=HALF),
    Case("flipped", "one wrong byte, always", always=Flip(HALF), possible=False),
    Case("flipped-part", "206 with one wrong byte, once", [Flip(1000)], kept=HALF, least=SIZE),
    Case("unavailable", "503 with Retry-After, once", [Status(503, 1)]),
    Case("too-many", "429 with Retry-After, once", [Status(429, 1)]),
    Case("not-found", "404, always", always=Status(404), possible=False),
    Case("redirect", "redirects once", [Redirect(PATH)]),
    Case("redirect-loop", "redirects to itself, always", always=Redirect(PATH), possible=False),
    Case("login-page", "200 with a log-in page, always", always=Html(_LOGIN), possible=False),
    Case(
        "login-page-resumed",
        "200 with a log-in page to a range, always",
        always=Html(_LOGIN),
        kept=HALF,
        possible=False,
    ),
)
