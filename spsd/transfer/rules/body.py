"""What the bytes of a body mean: the first ones, those that follow, and the finished object."""

import re
from dataclasses import dataclass, field

from spsd.decision_table import Outcome, Row, Table
from spsd.digest import Sha256
from spsd.failures import ApplianceError, Evidence, FailureCode, ImageError, JobError, OriginError

PAGE_BYTES = 4096
"""How many of a body's first bytes are inspected to recognize a web page."""
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)[\s>]", re.IGNORECASE)


def is_web_page(media_type: str, beginning: bytes) -> bool:
    """Whether a body is a web page: it begins like one, or its media type is HTML.

    An HTML media type does not count if the first 4 KiB contain a zero byte: every disk image has
    zero bytes in its first block, and no web page has any.
    """
    if media_type in _HTML:
        return b"\0" not in beginning[:PAGE_BYTES]
    return _MARKUP.match(beginning[:PAGE_BYTES]) is not None


@dataclass(frozen=True, slots=True)
class Opening:
    """The first bytes of a body that would replace the ``bytes_on_disk`` bytes of a partial."""

    media_type: str
    beginning: bytes
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class Received:
    """The state of a body: ``length`` bytes of the object, of ``total`` if the origin stated it.

    ``disk_limit`` is the length up to which the partial can grow on this disk. ``ended`` is true
    once the body has ended.
    """

    length: int
    total: int | None
    disk_limit: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A complete download. ``mixed``: its bytes came over several connections, or may have.

    ``surplus``: the origin sent more bytes than it had announced, and they were discarded.
    ``notes`` are remarks on the last attempt, for the evidence.
    """

    expected: Sha256
    computed: Sha256
    length: int
    mixed: bool
    clean_retries: int
    media_type: str
    beginning: bytes
    surplus: bool = False
    notes: Evidence = field(default_factory=dict)


def bytes_within(length: int, size: int, total: int | None) -> int:
    """How many of the next ``size`` bytes belong to an object of ``total``, after ``length``."""
    return size if total is None else min(size, max(0, total - length))


def judge_opening(opening: Opening) -> JobError | None:
    """The error if the body must not replace the partial; None if it may."""
    return OPENING.decide(opening)


def judge_body(received: Received) -> JobError | None:
    """The error if the body is too long for the disk or too short; None if neither so far."""
    return BODY.decide(received)


def judge_digest(finished: Finished) -> JobError | None:
    """The error if the bytes do not have the requested SHA-256; None if they have."""
    return DIGEST.decide(finished)


def _portal(opening: Opening) -> JobError:
    return OriginError(
        FailureCode.PORTAL,
        "the origin sent a web page instead of an image",
        {"content type": opening.media_type or "none", "bytes on disk": opening.bytes_on_disk},
        transient=False,
    )


def _no_room(received: Received) -> JobError:
    what = "the disk is full, and the image has not ended"
    return ApplianceError(FailureCode.DISK_FULL, what, {"bytes": received.length})


def _cut_off(received: Received) -> JobError:
    return OriginError(
        FailureCode.CUT_OFF,
        "the origin closed the connection before the end",
        {"bytes": received.length, "of": received.total or 0},
    )


def _wrong(finished: Finished, *, clean_retry: bool) -> JobError:
    what = "the image does not have the requested SHA-256"
    return ImageError(FailureCode.DIGEST, what, _digests(finished), transient=clean_retry)


def _surplus(finished: Finished) -> JobError:
    what = "the origin sent more bytes than it announced, and the announced bytes are not the image"
    return ImageError(FailureCode.TOO_LONG, what, _digests(finished))


def _page(finished: Finished) -> JobError:
    what = "the origin sent a web page instead of an image"
    media_type = {"content type": finished.media_type or "none"}
    return ImageError(FailureCode.PORTAL, what, media_type | _digests(finished))


def _digests(finished: Finished) -> dict[str, str | int]:
    return {
        "expected": finished.expected,
        "computed": finished.computed,
        "bytes": finished.length,
        **finished.notes,
    }


OPENING: Table[Opening, JobError | None] = Table(
    (
        Row(
            "page-over-bytes",
            "a web page, while the partial has bytes: it begins like one "
            "(`<!doctype html`, `<html`), or its media type is HTML and it has no zero byte",
            lambda body: body.bytes_on_disk > 0 and is_web_page(body.media_type, body.beginning),
            Outcome("fail for good: `portal`", _portal),
            "A log-in page with status 200 must not replace the bytes on disk.",
        ),
        Row(
            "first-bytes",
            "anything else, or a web page while the partial is empty",
            lambda _: True,
            Outcome("accept it, and discard the partial", lambda _: None),
            "An image may be sent as text/html, so only the digest decides. If it does not match, "
            "a web page is reported as one.",
        ),
    )
)
"""The first bytes of a body that replaces the partial."""
BODY: Table[Received, JobError | None] = Table(
    (
        Row(
            "no-room",
            "more bytes than fit on the disk",
            lambda body: body.length > body.disk_limit,
            Outcome("fail for good: `disk_full`", _no_room),
            "A body without a stated length may be endless.",
        ),
        Row(
            "under-way",
            "the body has not ended",
            lambda body: not body.ended,
            Outcome("continue", lambda _: None),
            "A rate below the minimum is `stall`, a broken connection `cut_off`; the next attempt "
            "continues after the bytes on disk.",
        ),
        Row(
            "too-short",
            "the body ended before the stated total",
            lambda body: body.total is not None and body.length < body.total,
            Outcome("try later: `cut_off`", _cut_off),
            "The received bytes stay on disk, and the next attempt continues after them.",
        ),
        Row(
            "ended",
            "the body ended at the stated total, or no total was stated",
            lambda _: True,
            Outcome("compare the digest", lambda _: None),
            "Without a stated total a broken connection looks like the end; only the digest shows "
            "the difference.",
        ),
    )
)
"""The body while it is received, and its end."""
DIGEST: Table[Finished, JobError | None] = Table(
    (
        Row(
            "verified",
            "the requested SHA-256",
            lambda image: image.computed == image.expected,
            Outcome("install", lambda _: None),
            "Neither the media type nor the length matters then.",
        ),
        Row(
            "mixed",
            "another SHA-256, over bytes of several connections, for the first time",
            lambda image: image.mixed and image.clean_retries > 0,
            Outcome(
                "discard all bytes, and request the whole object once more",
                lambda image: _wrong(image, clean_retry=True),
            ),
            "The object may have changed between the connections at a place that was not compared.",
        ),
        Row(
            "surplus",
            "another SHA-256, and the origin sent more bytes than it announced",
            lambda image: image.surplus,
            Outcome("fail for good: `too_long`", _surplus),
            "The announced bytes are used and the rest is discarded: a response can be too long "
            "and its first bytes still right.",
        ),
        Row(
            "page",
            "another SHA-256, and the bytes are a web page",
            lambda image: is_web_page(image.media_type, image.beginning),
            Outcome("fail for good: `portal`", _page),
            "This error says more than two different digests.",
        ),
        Row(
            "wrong",
            "another SHA-256",
            lambda _: True,
            Outcome("fail for good: `digest`", lambda image: _wrong(image, clean_retry=False)),
            "The object on the origin is damaged, or it is not the one that the client requested.",
        ),
    )
)
"""The digest of the complete download."""
