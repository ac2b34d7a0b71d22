"""What the bytes of a body mean: as they begin, as they come, and when all are here."""

import re
from dataclasses import dataclass, field

from spsd.decision_table import Outcome, Row, Table
from spsd.digest import Sha256
from spsd.failures import ApplianceError, Evidence, FailureCode, ImageError, JobError, OriginError

PAGE_BYTES = 4096
"""Enough of the beginning to tell a web page."""
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)[\s>]", re.IGNORECASE)


def is_page(media_type: str, beginning: bytes) -> bool:
    """Whether this is a web page: it looks like one, or is called one and may be one.

    A zero byte is in every disk image's first block and in no web page.
    """
    if media_type in _HTML:
        return b"\0" not in beginning[:PAGE_BYTES]
    return _MARKUP.match(beginning[:PAGE_BYTES]) is not None


@dataclass(frozen=True, slots=True)
class Opening:
    """The first bytes of a body that is to take the place of ``kept`` bytes."""

    media_type: str
    beginning: bytes
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class Received:
    """How long the object is so far, of ``total`` bytes told, with room for ``room`` here."""

    length: int
    total: int | None
    room: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """All bytes are here; ``glued`` tells whether they came over several connections.

    ``surplus``: more came than was announced, and was not taken. ``notes`` tell how the last
    attempt went.
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


def within(length: int, size: int, total: int | None) -> int:
    """How many of the next ``size`` bytes belong to an object of ``total``, after ``length``."""
    return size if total is None else min(size, max(0, total - length))


def judge_opening(opening: Opening) -> JobError | None:
    """Whether the body may take the place of what is kept; None: it may."""
    return OPENING.decide(opening)


def judge_body(received: Received) -> JobError | None:
    """Whether the body is what was told of it; None: so far it is."""
    return BODY.decide(received)


def judge_digest(finished: Finished) -> JobError | None:
    """Whether these are the bytes that were asked for; None: they are."""
    return DIGEST.decide(finished)


def _portal(opening: Opening) -> JobError:
    return OriginError(
        FailureCode.PORTAL,
        "the origin sent a web page instead of an image",
        {"content type": opening.media_type or "none", "bytes on disk": opening.bytes_on_disk},
        transient=False,
    )


def _no_room(received: Received) -> JobError:
    what = "the image has no end before the disk has"
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
    what = "more bytes came than announced, and those that were announced are not the image"
    return ImageError(FailureCode.TOO_LONG, what, _digests(finished))


def _page(finished: Finished) -> JobError:
    what = "the origin sent a web page instead of an image"
    called = {"content type": finished.media_type or "none"}
    return ImageError(FailureCode.PORTAL, what, called | _digests(finished))


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
            "a web page, where bytes of an image are kept: it begins like one "
            "(`<!doctype html`, `<html`), or is called one and has no zero byte",
            lambda seen: seen.bytes_on_disk > 0 and is_page(seen.media_type, seen.beginning),
            Outcome("fail for good: `portal`", _portal),
            "A log-in page with status 200 must not cost the bytes that are here.",
        ),
        Row(
            "first-bytes",
            "anything else, a page with nothing kept too",
            lambda _: True,
            Outcome("take it, and drop what is kept", lambda _: None),
            "An image may be called text/html. The digest has the last word; a page is given its "
            "name then.",
        ),
    )
)
"""The first bytes of a body that starts over."""
BODY: Table[Received, JobError | None] = Table(
    (
        Row(
            "no-room",
            "more bytes than the disk has room for",
            lambda seen: seen.length > seen.room,
            Outcome("fail for good: `disk_full`", _no_room),
            "A body without a told length may have no end.",
        ),
        Row(
            "under-way",
            "the body has not ended",
            lambda seen: not seen.ended,
            Outcome("go on", lambda _: None),
            "Slower than the minimum is `stall`, a broken connection `cut_off`; both try later, "
            "from where they are.",
        ),
        Row(
            "too-short",
            "the end, before all that was told is here",
            lambda seen: seen.total is not None and seen.length < seen.total,
            Outcome("try later: `cut_off`", _cut_off),
            "What has come is kept, and the next attempt goes on from there.",
        ),
        Row(
            "ended",
            "the end, where it was told or where none was told",
            lambda _: True,
            Outcome("look at the digest", lambda _: None),
            "Where no length was told, a cut looks like the end; the digest tells.",
        ),
    )
)
"""The body as it comes, and its end."""
DIGEST: Table[Finished, JobError | None] = Table(
    (
        Row(
            "verified",
            "the SHA-256 that was asked for",
            lambda seen: seen.computed == seen.expected,
            Outcome("install", lambda _: None),
            "Whatever the origin called it.",
        ),
        Row(
            "mixed",
            "another, over bytes of several connections, for the first time",
            lambda seen: seen.mixed and seen.clean_retries > 0,
            Outcome(
                "drop everything, ask for all of it once more",
                lambda seen: _wrong(seen, clean_retry=True),
            ),
            "The object may have been swapped between them where no comparison looked.",
        ),
        Row(
            "surplus",
            "another, and more bytes came than were told",
            lambda seen: seen.surplus,
            Outcome("fail for good: `too_long`", _surplus),
            "What was told is taken and the rest is not: a part may be too long and right.",
        ),
        Row(
            "page",
            "another, and the bytes are a web page",
            lambda seen: is_page(seen.media_type, seen.beginning),
            Outcome("fail for good: `portal`", _page),
            "Whoever reads it learns more than from two digests.",
        ),
        Row(
            "wrong",
            "another",
            lambda _: True,
            Outcome("fail for good: `digest`", lambda seen: _wrong(seen, clean_retry=False)),
            "The object is not what the client was told, or not intact on the origin.",
        ),
    )
)
"""The digest, when everything is here."""
