"""What the head of a response means, as a decision table. Pure; references are to RFC 9110.

``judge`` looks at what was asked and at the response's head; the first row that holds gives the
verdict, and docs/resume.md is printed from the same rows. The body is judged in
:mod:`spsd.transfer.rules.body`. Only the digest verifies bytes; the rules keep spsd from wasting or
mixing them.
"""

from collections.abc import Callable

from spsd.decision_table import Outcome, Row, Table
from spsd.failures import FailureCode, OriginError
from spsd.transfer.rules.messages import (
    Append,
    Ask,
    AskAgain,
    Compare,
    Complete,
    Exchange,
    Kept,
    Reject,
    Reply,
    Same,
    Span,
    StartOver,
    Verdict,
    Windows,
)
from spsd.transfer.rules.request import WINDOWS, Prefix, overlapping, proof
from spsd.transfer.rules.retry import retry_after_seconds

HeadRow = Row[Exchange, Verdict]
Then = Outcome[Exchange, Verdict]
Test = Callable[[Exchange], bool]


def status(status: int, test: Test = lambda _: True) -> Test:
    """Whether the reply has that status, and passes the test."""
    return lambda seen: seen.reply.status == status and test(seen)


def retry_after(seen: Exchange) -> float | None:
    """Retry-After in seconds, if it can be read."""
    return retry_after_seconds(seen.reply.headers.get("retry-after"), now=seen.now)


def whole(why: str) -> Then:
    """Not this body, but all of the object."""
    return Outcome("ask again, for all of it", lambda _: AskAgain(Ask(), why))


def over(why: str) -> Then:
    """This body, from byte 0."""
    return Outcome("start over with this body", lambda seen: StartOver(seen.reply.length, why))


def for_good(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """No attempt will do better."""

    def verdict(seen: Exchange) -> Verdict:
        evidence = {"kept bytes": seen.kept.length} if seen.kept.length else {}
        return Reject(OriginError(code, what(seen), evidence, transient=False))

    return Outcome(f"fail for good: `{code}`", verdict)


def for_now(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """A later attempt may do better."""
    return Outcome(
        f"try later: `{code}`",
        lambda seen: Reject(OriginError(code, what(seen), retry_after=retry_after(seen))),
    )


def _part(test: Callable[[Exchange, Span], bool]) -> Test:
    """For a 206 that says which part it is."""

    def holds(seen: Exchange) -> bool:
        span = seen.reply.span
        return seen.reply.status == 206 and span is not None and test(seen, span)

    return holds


def _past_the_end(test: Callable[[Exchange, int | None], bool]) -> Test:
    return status(416, lambda seen: seen.ask.offset > 0 and test(seen, seen.reply.whole_size))


def _is_resized(seen: Exchange, span: Span) -> bool:
    if span.total is None or span.total == seen.kept.length:
        return False
    known = seen.kept.total
    return span.total < seen.kept.length if known is None else span.total != known


def _is_too_little_to_compare(seen: Exchange, span: Span) -> bool:
    if seen.ask.probe:
        return span.last != seen.ask.probe - 1
    return span.last < seen.ask.offset - 1


def _append(seen: Exchange) -> Verdict:
    told = seen.reply.span.total if seen.reply.span is not None else None
    total = told if told is not None else seen.kept.total
    return Append(seen.ask.offset, total, seen.ask.overlap)


PART_ROWS = (
    HeadRow(
        "part-unasked",
        "206 to a request without Range",
        status(206, lambda seen: seen.ask.offset == 0),
        for_now(FailureCode.PROTOCOL, lambda _: "the origin sent a part, unasked (206)"),
        "Nobody knows what is missing (section 15.3.7).",
    ),
    HeadRow(
        "part-coded",
        "206 with a Content-Encoding",
        status(206, lambda seen: seen.reply.coding != ""),
        whole("the origin coded a part"),
        "Positions in coded bytes are others.",
    ),
    HeadRow(
        "part-multipart",
        "206 as multipart/byteranges",
        status(206, lambda seen: seen.reply.media_type == "multipart/byteranges"),
        whole("the origin sent a multipart range"),
        "One range must not be answered so (section 15.3.7.2).",
    ),
    HeadRow(
        "part-unnamed",
        "206 without a Content-Range that can be read",
        status(206, lambda seen: seen.reply.span is None),
        whole("the origin sent a part without saying which"),
        "Where the bytes belong is not to be guessed.",
    ),
    HeadRow(
        "part-elsewhere",
        "206 of another offset, or of a range that cannot be",
        _part(lambda seen, span: span.first != seen.ask.first or not span.is_possible),
        whole("the origin sent another part than the one asked for"),
        "Its bytes would be glued to the wrong place.",
    ),
    HeadRow(
        "part-resized",
        "206 of an object of another total, or shorter than what is here, but not just as long",
        _part(_is_resized),
        whole("the object on the origin has another size now"),
        "Another size is another object.",
    ),
    HeadRow(
        "part-changed",
        "206 with another ETag",
        _part(lambda seen, _: seen.same is Same.NO),
        whole("the object on the origin has changed"),
        "Servers that ignore If-Range answer so for a changed object (section 13.1.5).",
    ),
    HeadRow(
        "part-all-here",
        "206 of an object that has as many bytes as are here",
        _part(lambda seen, span: span.total == seen.kept.length),
        Outcome("complete", lambda _: Complete()),
        "Nothing of it is missing. The digest has the last word.",
    ),
    HeadRow(
        "part-too-short-to-compare",
        "206 with fewer (or other) bytes than are to be compared",
        _part(_is_too_little_to_compare),
        whole("the origin sent too little to compare"),
        "What cannot be compared is not proven.",
    ),
    HeadRow(
        "probe",
        "206 with the first bytes, asked for to be compared",
        _part(lambda seen, _: seen.ask.probe > 0),
        Outcome(
            "compare; if equal, ask for the rest and the last bytes of what is here, else for all",
            lambda seen: Compare(seen.ask.probe, overlapping(Prefix(seen.kept, seen.windows))),
        ),
        "No validator vouches for what is here, so the bytes have to.",
    ),
    HeadRow(
        "overlap",
        "206 with the rest and the last bytes of what is here",
        _part(lambda seen, _: seen.ask.overlap > 0),
        Outcome("compare; if equal, append, else ask again for all of it", _append),
        "A swapped object is noticed before a byte of it is appended.",
    ),
    HeadRow(
        "part-unproven",
        "206 whose ETag is missing or weak",
        _part(lambda seen, _: seen.same is Same.UNKNOWN),
        Outcome(
            "ask again, for bytes to compare",
            lambda seen: AskAgain(
                proof(Prefix(seen.kept, seen.windows)), "no strong ETag vouches for the part"
            ),
        ),
        "A 206 has the ETag that a 200 would have (section 15.3.7); without it If-Range may have "
        "been ignored.",
    ),
    HeadRow(
        "part",
        "206 at the offset asked for, with the same strong ETag",
        status(206),
        Outcome("append", _append),
        "It continues what is here. It may be shorter than asked for: then the next attempt goes "
        "on.",
    ),
)
PAST_THE_END_ROWS = (
    HeadRow(
        "past-the-end-complete",
        "416 that tells as many bytes as are here",
        _past_the_end(
            lambda seen, size: size == seen.kept.length and seen.ask.first == seen.ask.offset
        ),
        Outcome("complete", lambda _: Complete()),
        "The end was not known, and is here (section 15.5.17). The digest has the last word.",
    ),
    HeadRow(
        "past-the-end-shorter",
        "416 that tells fewer bytes than are here",
        _past_the_end(lambda seen, size: size is not None and size < seen.kept.length),
        whole("the object on the origin is shorter now"),
        "Another size is another object.",
    ),
    HeadRow(
        "past-the-end-longer",
        "416 that tells at least as many bytes as were asked for",
        _past_the_end(lambda _, size: size is not None),
        whole("the origin has the bytes, and says that it has not (416)"),
        "It contradicts itself; without Range it has nothing to contradict.",
    ),
    HeadRow(
        "past-the-end-untold",
        "416 that tells no size",
        _past_the_end(lambda _, size: size is None),
        whole("the origin has no bytes there (416)"),
        "Nothing says whether what is here is complete.",
    ),
)
TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Worth another attempt, besides every 5xx (sections 15.5.9 and 15.6, RFC 8470, RFC 6585)."""


def _is_part_of_whole(seen: Exchange) -> bool:
    span = seen.reply.span
    return seen.ask.offset > 0 and span is not None and span.first > 0


def _is_transient(seen: Exchange) -> bool:
    return seen.reply.status in TRANSIENT_STATUSES or 500 <= seen.reply.status < 600


def _answered(seen: Exchange) -> str:
    return f"the origin answered {seen.reply.status}"


_WHOLE_ROWS = (
    HeadRow(
        "whole-coded",
        "200 with a Content-Encoding",
        status(200, lambda seen: seen.reply.coding != ""),
        for_good(
            FailureCode.CODED,
            lambda seen: f"the origin sent the image with content coding {seen.reply.coding!r}",
        ),
        "Only identity was asked for; the digest is over the plain bytes.",
    ),
    HeadRow(
        "if-range-ignored",
        "200 to If-Range, with the very ETag that was sent",
        status(200, lambda seen: seen.ask.if_range is not None and seen.same is Same.YES),
        Outcome(
            "ask again, without If-Range",
            lambda seen: AskAgain(Ask(seen.ask.offset), "the origin ignored a matching If-Range"),
        ),
        "Some CDNs do so for ever; the ETag of a 206 is compared anyway.",
    ),
    HeadRow(
        "whole-called-part",
        "200 to a range, with the Content-Range of a later part",
        status(200, _is_part_of_whole),
        whole("the origin sent a part as a whole"),
        "In a 200 Content-Range means nothing (section 14.4), so the body is not to be trusted.",
    ),
    HeadRow(
        "whole-changed",
        "200 to a range, with another ETag",
        status(200, lambda seen: seen.ask.offset > 0 and seen.same is Same.NO),
        over("the object on the origin has changed"),
        "This is what If-Range is for (section 13.1.5).",
    ),
    HeadRow(
        "whole-to-range",
        "any other 200 to a range",
        status(200, lambda seen: seen.ask.offset > 0),
        over("the origin sent all of the object, not a part"),
        "A server may ignore Range (section 14.2).",
    ),
    HeadRow(
        "whole-untold",
        "200 without a Content-Length: chunked, or as long as the connection",
        status(200, lambda seen: seen.reply.length is None),
        over("the origin sent the object"),
        "The end of the body is the end of the object; the digest has the last word.",
    ),
    HeadRow(
        "whole",
        "200 with a Content-Length",
        status(200),
        over("the origin sent the object"),
        "It is what was asked for. A web page is told by its first bytes, below.",
    ),
)
_STATUS_ROWS = (
    HeadRow(
        "busy-until",
        "408, 425, 429 or 5xx with a Retry-After, as seconds or a date",
        lambda seen: _is_transient(seen) and retry_after(seen) is not None,
        for_now(FailureCode.ORIGIN_STATUS, _answered),
        "Not before that time, or an hour (section 10.2.3).",
    ),
    HeadRow(
        "busy",
        "408, 425, 429 or 5xx without one that can be read",
        _is_transient,
        for_now(FailureCode.ORIGIN_STATUS, _answered),
        "After the usual wait, while the budget of attempts lasts.",
    ),
    HeadRow(
        "denied",
        "401, 403 or 407",
        lambda seen: seen.reply.status in {401, 403, 407},
        for_good(FailureCode.ORIGIN_STATUS, _answered),
        "Credentials or a signature do not get better by themselves. The bytes stay: a newly "
        "signed URL goes on.",
    ),
    HeadRow(
        "gone",
        "404 or 410, in the middle of a download too",
        lambda seen: seen.reply.status in {404, 410},
        for_good(FailureCode.ORIGIN_STATUS, _answered),
        "It was taken away or moved. The bytes stay: a mirror goes on.",
    ),
    HeadRow(
        "refused",
        "any other 4xx",
        lambda seen: seen.reply.status // 100 == 4,
        for_good(FailureCode.ORIGIN_STATUS, _answered),
        "The same request gets the same answer (section 15.5).",
    ),
    HeadRow(
        "no-object",
        "anything else: 1xx, another 2xx, 300, 304",
        lambda _: True,
        for_good(FailureCode.ORIGIN_STATUS, _answered),
        "None of these has the object, and nobody asked for them.",
    ),
)
HEAD: Table[Exchange, Verdict] = Table(
    (*_WHOLE_ROWS, *PART_ROWS, *PAST_THE_END_ROWS, *_STATUS_ROWS)
)
"""What the head of a reply means; the body is judged as it comes, in spsd.transfer.rules.body."""


def judge(ask: Ask, kept: Kept, reply: Reply, *, now: int, windows: Windows = WINDOWS) -> Verdict:
    """What the reply to ``ask`` means; ``now`` (epoch seconds) is for dates in Retry-After."""
    return HEAD.decide(Exchange(ask, kept, reply, now, windows))


def difference(first: int, mine: bytes, theirs: bytes) -> AskAgain | None:
    """What a comparison from position ``first`` on means; None: it speaks for one object."""
    if mine == theirs:
        return None
    if mine.startswith(theirs):
        return AskAgain(Ask(), "the origin sent too little to compare")
    pairs = enumerate(zip(mine, theirs, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), len(mine))
    return AskAgain(Ask(), f"byte {first + at} on the origin is not the one kept")
