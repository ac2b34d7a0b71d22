"""What to ask an origin for, and what its answer means: pure, and the whole truth about resume.

``plan`` looks at what is kept and says what to ask. ``judge`` looks at what was asked and at the
head of the reply, and gives one verdict. Only the digest proves bytes; the rules here keep spsd
from wasting or mixing them. References are to RFC 9110.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spsd.domain.failure import FailureCode, OriginError
from spsd.domain.retry import retry_after_seconds

TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Worth another attempt, besides every 5xx (sections 15.5.9 and 15.6, RFC 8470, RFC 6585)."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier attempt left: a plain prefix, and what its origin said of the object.

    The validators count only for ``same_url``: a mirror names the same bytes differently.
    """

    length: int = 0
    total: int | None = None
    etag: str | None = None
    same_url: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """A GET: from ``offset`` (0: whole, without Range), on the condition ``if_range``."""

    offset: int = 0
    if_range: str | None = None

    def headers(self) -> dict[str, str]:
        """The request header fields (sections 14.2 and 13.1.5)."""
        if self.offset == 0:
            return {}
        fields = {"Range": f"bytes={self.offset}-"}
        if self.if_range is not None:
            fields["If-Range"] = self.if_range
        return fields


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Content-Length, where it is a number that a file may have."""
        found = _LENGTH.fullmatch(self.headers.get("content-length", ""))
        return int(found[0]) if found is not None else None


@dataclass(frozen=True, slots=True)
class Complete:
    """Every byte is here already; what is left is the proof."""


@dataclass(frozen=True, slots=True)
class Append:
    """The body continues the prefix at ``offset``; the object has ``total`` bytes."""

    offset: int
    total: int | None


@dataclass(frozen=True, slots=True)
class StartOver:
    """The body is the whole object, of ``total`` bytes; the prefix goes."""

    total: int | None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """This reply is of no use, but the same origin may have a better one to ``ask``."""

    ask: Ask
    why: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Nothing to be had now; ``error`` says whether a later attempt may do better."""

    error: OriginError


Verdict = Append | StartOver | Complete | AskAgain | Reject


def plan(kept: Kept) -> Ask | Complete:
    """What to ask for first."""
    if kept.total is not None and kept.length == kept.total > 0:
        return Complete()
    if kept.length == 0 or (kept.total is not None and kept.length > kept.total):
        return Ask()
    return Ask(kept.length, _strong_validator(kept) if kept.same_url else None)


def judge(ask: Ask, kept: Kept, reply: Reply, *, now: int) -> Verdict:
    """What the reply to ``ask`` means; ``now`` (epoch seconds) is for dates in Retry-After."""
    match reply.status:
        case 206:
            return _judge_partial(ask, kept, reply)
        case 200:
            return _judge_whole(ask, kept, reply)
        case 416 if ask.offset:
            return _judge_unsatisfied(kept, reply)
        case status:
            transient = status in TRANSIENT_STATUSES or 500 <= status < 600
            return Reject(
                OriginError(
                    FailureCode.ORIGIN_STATUS,
                    f"the origin answered {status}",
                    transient=transient,
                    retry_after=retry_after_seconds(reply.headers.get("retry-after"), now=now),
                )
            )


def _judge_whole(ask: Ask, kept: Kept, reply: Reply) -> Verdict:
    if (rejected := _unfit(reply)) is not None:
        return rejected
    unchanged = ask.if_range is not None and _same_strong_etag(kept, reply) is True
    if unchanged:
        # Some CDNs answer a correct If-Range with 200 for ever; the ETag of a 206 is compared
        # anyway, so the condition can be left out.
        return AskAgain(Ask(ask.offset), "the origin ignored a matching If-Range")
    # Section 14.4: Content-Range means nothing in a 200.
    return StartOver(reply.length)


def _judge_partial(ask: Ask, kept: Kept, reply: Reply) -> Verdict:
    if ask.offset == 0:
        error = OriginError(FailureCode.PROTOCOL, "the origin sent a part, unasked (206)")
        return Reject(error)
    if _unfit(reply) is not None:
        return AskAgain(Ask(), "the origin coded a part")
    if reply.headers.get("content-type", "").lower().startswith("multipart/byteranges"):
        return AskAgain(Ask(), "the origin sent a multipart range")
    found = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", "").strip())
    if found is None:
        return AskAgain(Ask(), "the origin sent a part without saying which")
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if first != ask.offset or last < first or (total is not None and last >= total):
        return AskAgain(Ask(), "the origin sent another part than the one asked for")
    if None not in (total, kept.total) and total != kept.total:
        return AskAgain(Ask(), "the object on the origin has another size now")
    if _same_strong_etag(kept, reply) is False:
        # Servers that ignore If-Range answer 206 for a changed object (section 13.1.5).
        return AskAgain(Ask(), "the object on the origin has changed")
    return Append(ask.offset, total if total is not None else kept.total)


def _judge_unsatisfied(kept: Kept, reply: Reply) -> Verdict:
    found = _UNSATISFIED.fullmatch(reply.headers.get("content-range", "").strip())
    if found is not None and int(found[1]) == kept.length:
        return Complete()
    return AskAgain(Ask(), "the origin has no bytes there (416)")


def _unfit(reply: Reply) -> Reject | None:
    coding = reply.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        what = f"the origin sent the image with content coding {coding!r}"
        return Reject(OriginError(FailureCode.CODED, what, transient=False))
    media_type = reply.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type in _HTML:
        what = "the origin sent a web page instead of an image"
        return Reject(
            OriginError(FailureCode.PORTAL, what, {"content type": media_type}, transient=False)
        )
    return None


def _strong_validator(kept: Kept) -> str | None:
    """What If-Range may carry: a strong ETag only.

    A date could serve too if it were known to be strong (section 8.8.2.2); it rarely is, and the
    size and the digest catch what a missing condition lets through.
    """
    return kept.etag if kept.etag is not None and is_strong(kept.etag) else None


def is_strong(etag: str) -> bool:
    """Whether the ETag is a strong validator (section 8.8.3)."""
    return len(etag) >= 2 and etag.startswith('"') and etag.endswith('"')


def _same_strong_etag(kept: Kept, reply: Reply) -> bool | None:
    """Strong comparison (section 8.8.3.2); None where either side has nothing to compare."""
    theirs = reply.headers.get("etag", "").strip()
    ours = _strong_validator(kept)
    if not kept.same_url or ours is None or not theirs:
        return None
    return theirs == ours
