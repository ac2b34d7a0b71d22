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
    Compare,
    Complete,
    Exchange,
    Prefix,
    RangeRequest,
    Reject,
    RequestAgain,
    ResponseDecision,
    ResponseHead,
    Restart,
    Span,
    ValidatorMatch,
    Windows,
)
from spsd.transfer.rules.request import WINDOWS, PlanInput, comparison_request, overlap_request
from spsd.transfer.rules.retry import retry_after_seconds

HeadRow = Row[Exchange, ResponseDecision]
Then = Outcome[Exchange, ResponseDecision]
Test = Callable[[Exchange], bool]


def status(status: int, test: Test = lambda _: True) -> Test:
    """Whether the reply has that status, and passes the test."""
    return lambda seen: seen.head.status == status and test(seen)


def retry_after(seen: Exchange) -> float | None:
    """Retry-After in seconds, if it can be read."""
    return retry_after_seconds(seen.head.headers.get("retry-after"), now=seen.now)


def request_whole(why: str) -> Then:
    """Not this body, but all of the object."""
    return Outcome("ask again, for all of it", lambda _: RequestAgain(RangeRequest(), why))


def restart_with_body(why: str) -> Then:
    """This body, from byte 0."""
    return Outcome("start over with this body", lambda seen: Restart(seen.head.length, why))


def reject_permanently(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """No attempt will do better."""

    def verdict(seen: Exchange) -> ResponseDecision:
        evidence = {"bytes on disk": seen.prefix.length} if seen.prefix.length else {}
        return Reject(OriginError(code, what(seen), evidence, transient=False))

    return Outcome(f"fail for good: `{code}`", verdict)


def reject_for_now(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """A later attempt may do better."""
    return Outcome(
        f"try later: `{code}`",
        lambda seen: Reject(OriginError(code, what(seen), retry_after=retry_after(seen))),
    )


def _part(test: Callable[[Exchange, Span], bool]) -> Test:
    """For a 206 that says which part it is."""

    def holds(seen: Exchange) -> bool:
        span = seen.head.span
        return seen.head.status == 206 and span is not None and test(seen, span)

    return holds


def _past_the_end(test: Callable[[Exchange, int | None], bool]) -> Test:
    return status(416, lambda seen: seen.request.offset > 0 and test(seen, seen.head.whole_size))


def _is_resized(seen: Exchange, span: Span) -> bool:
    if span.total is None or span.total == seen.prefix.length:
        return False
    known = seen.prefix.total
    return span.total < seen.prefix.length if known is None else span.total != known


def _is_too_little_to_compare(seen: Exchange, span: Span) -> bool:
    if seen.request.probe:
        return span.last != seen.request.probe - 1
    return span.last < seen.request.offset - 1


def _append(seen: Exchange) -> ResponseDecision:
    told = seen.head.span.total if seen.head.span is not None else None
    total = told if told is not None else seen.prefix.total
    return Append(seen.request.offset, total, seen.request.overlap)


PART_ROWS = (
    HeadRow(
        "part-unrequested",
        "206 to a request without Range",
        status(206, lambda seen: seen.request.offset == 0),
        reject_for_now(FailureCode.PROTOCOL, lambda _: "the origin sent a part, unasked (206)"),
        "Nobody knows what is missing (section 15.3.7).",
    ),
    HeadRow(
        "part-coded",
        "206 with a Content-Encoding",
        status(206, lambda seen: seen.head.coding != ""),
        request_whole("the origin coded a part"),
        "Positions in coded bytes are others.",
    ),
    HeadRow(
        "part-multipart",
        "206 as multipart/byteranges",
        status(206, lambda seen: seen.head.media_type == "multipart/byteranges"),
        request_whole("the origin sent a multipart range"),
        "One range must not be answered so (section 15.3.7.2).",
    ),
    HeadRow(
        "part-without-content-range",
        "206 without a Content-Range that can be read",
        status(206, lambda seen: seen.head.span is None),
        request_whole("the origin sent a part without saying which"),
        "Where the bytes belong is not to be guessed.",
    ),
    HeadRow(
        "part-elsewhere",
        "206 of another offset, or of a range that cannot be",
        _part(lambda seen, span: span.first != seen.request.first or not span.is_possible),
        request_whole("the origin sent another part than the one asked for"),
        "Its bytes would be glued to the wrong place.",
    ),
    HeadRow(
        "part-resized",
        "206 of an object of another total, or shorter than what is here, but not just as long",
        _part(_is_resized),
        request_whole("the object on the origin has another size now"),
        "Another size is another object.",
    ),
    HeadRow(
        "part-changed",
        "206 with another ETag",
        _part(lambda seen, _: seen.validator_match is ValidatorMatch.NO),
        request_whole("the object on the origin has changed"),
        "Servers that ignore If-Range answer so for a changed object (section 13.1.5).",
    ),
    HeadRow(
        "part-of-complete",
        "206 of an object that has as many bytes as are here",
        _part(lambda seen, span: span.total == seen.prefix.length),
        Outcome("complete", lambda _: Complete()),
        "Nothing of it is missing. The digest has the last word.",
    ),
    HeadRow(
        "part-too-short-to-compare",
        "206 with fewer (or other) bytes than are to be compared",
        _part(_is_too_little_to_compare),
        request_whole("the origin sent too little to compare"),
        "What cannot be compared is not proven.",
    ),
    HeadRow(
        "probe",
        "206 with the first bytes, asked for to be compared",
        _part(lambda seen, _: seen.request.probe > 0),
        Outcome(
            "compare; if equal, ask for the rest and the last bytes of what is here, else for all",
            lambda seen: Compare(
                seen.request.probe, overlap_request(PlanInput(seen.prefix, seen.windows))
            ),
        ),
        "No validator vouches for what is here, so the bytes have to.",
    ),
    HeadRow(
        "overlap",
        "206 with the rest and the last bytes of what is here",
        _part(lambda seen, _: seen.request.overlap > 0),
        Outcome("compare; if equal, append, else ask again for all of it", _append),
        "A swapped object is noticed before a byte of it is appended.",
    ),
    HeadRow(
        "part-unverified",
        "206 whose ETag is missing or weak",
        _part(lambda seen, _: seen.validator_match is ValidatorMatch.UNKNOWN),
        Outcome(
            "ask again, for bytes to compare",
            lambda seen: RequestAgain(
                comparison_request(PlanInput(seen.prefix, seen.windows)),
                "no strong ETag vouches for the part",
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
            lambda seen, size: (
                size == seen.prefix.length and seen.request.first == seen.request.offset
            )
        ),
        Outcome("complete", lambda _: Complete()),
        "The end was not known, and is here (section 15.5.17). The digest has the last word.",
    ),
    HeadRow(
        "past-the-end-shorter",
        "416 that tells fewer bytes than are here",
        _past_the_end(lambda seen, size: size is not None and size < seen.prefix.length),
        request_whole("the object on the origin is shorter now"),
        "Another size is another object.",
    ),
    HeadRow(
        "past-the-end-longer",
        "416 that tells at least as many bytes as were asked for",
        _past_the_end(lambda _, size: size is not None),
        request_whole("the origin has the bytes, and says that it has not (416)"),
        "It contradicts itself; without Range it has nothing to contradict.",
    ),
    HeadRow(
        "past-the-end-without-size",
        "416 that tells no size",
        _past_the_end(lambda _, size: size is None),
        request_whole("the origin has no bytes there (416)"),
        "Nothing says whether what is here is complete.",
    ),
)
TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Worth another attempt, besides every 5xx (sections 15.5.9 and 15.6, RFC 8470, RFC 6585)."""


def _is_part_of_whole(seen: Exchange) -> bool:
    span = seen.head.span
    return seen.request.offset > 0 and span is not None and span.first > 0


def _is_transient(seen: Exchange) -> bool:
    return seen.head.status in TRANSIENT_STATUSES or 500 <= seen.head.status < 600


def _status_sentence(seen: Exchange) -> str:
    return f"the origin answered {seen.head.status}"


_WHOLE_ROWS = (
    HeadRow(
        "whole-coded",
        "200 with a Content-Encoding",
        status(200, lambda seen: seen.head.coding != ""),
        reject_permanently(
            FailureCode.CODED,
            lambda seen: f"the origin sent the image with content coding {seen.head.coding!r}",
        ),
        "Only identity was asked for; the digest is over the plain bytes.",
    ),
    HeadRow(
        "if-range-ignored",
        "200 to If-Range, with the very ETag that was sent",
        status(
            200,
            lambda seen: (
                seen.request.if_range is not None and seen.validator_match is ValidatorMatch.YES
            ),
        ),
        Outcome(
            "ask again, without If-Range",
            lambda seen: RequestAgain(
                RangeRequest(seen.request.offset), "the origin ignored a matching If-Range"
            ),
        ),
        "Some CDNs do so for ever; the ETag of a 206 is compared anyway.",
    ),
    HeadRow(
        "whole-called-part",
        "200 to a range, with the Content-Range of a later part",
        status(200, _is_part_of_whole),
        request_whole("the origin sent a part as a whole"),
        "In a 200 Content-Range means nothing (section 14.4), so the body is not to be trusted.",
    ),
    HeadRow(
        "whole-changed",
        "200 to a range, with another ETag",
        status(
            200, lambda seen: seen.request.offset > 0 and seen.validator_match is ValidatorMatch.NO
        ),
        restart_with_body("the object on the origin has changed"),
        "This is what If-Range is for (section 13.1.5).",
    ),
    HeadRow(
        "whole-to-range",
        "any other 200 to a range",
        status(200, lambda seen: seen.request.offset > 0),
        restart_with_body("the origin sent all of the object, not a part"),
        "A server may ignore Range (section 14.2).",
    ),
    HeadRow(
        "whole-without-length",
        "200 without a Content-Length: chunked, or as long as the connection",
        status(200, lambda seen: seen.head.length is None),
        restart_with_body("the origin sent the object"),
        "The end of the body is the end of the object; the digest has the last word.",
    ),
    HeadRow(
        "whole",
        "200 with a Content-Length",
        status(200),
        restart_with_body("the origin sent the object"),
        "It is what was asked for. A web page is told by its first bytes, below.",
    ),
)
_STATUS_ROWS = (
    HeadRow(
        "busy-until",
        "408, 425, 429 or 5xx with a Retry-After, as seconds or a date",
        lambda seen: _is_transient(seen) and retry_after(seen) is not None,
        reject_for_now(FailureCode.ORIGIN_STATUS, _status_sentence),
        "Not before that time, or an hour (section 10.2.3).",
    ),
    HeadRow(
        "busy",
        "408, 425, 429 or 5xx without one that can be read",
        _is_transient,
        reject_for_now(FailureCode.ORIGIN_STATUS, _status_sentence),
        "After the usual wait, while the budget of attempts lasts.",
    ),
    HeadRow(
        "denied",
        "401, 403 or 407",
        lambda seen: seen.head.status in {401, 403, 407},
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "Credentials or a signature do not get better by themselves. The bytes stay: a newly "
        "signed URL goes on.",
    ),
    HeadRow(
        "gone",
        "404 or 410, in the middle of a download too",
        lambda seen: seen.head.status in {404, 410},
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "It was taken away or moved. The bytes stay: a mirror goes on.",
    ),
    HeadRow(
        "refused",
        "any other 4xx",
        lambda seen: seen.head.status // 100 == 4,
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "The same request gets the same answer (section 15.5).",
    ),
    HeadRow(
        "no-object",
        "anything else: 1xx, another 2xx, 300, 304",
        lambda _: True,
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "None of these has the object, and nobody asked for them.",
    ),
)
HEAD: Table[Exchange, ResponseDecision] = Table(
    (*_WHOLE_ROWS, *PART_ROWS, *PAST_THE_END_ROWS, *_STATUS_ROWS)
)
"""What the head of a reply means; the body is judged as it comes, in spsd.transfer.rules.body."""


def judge(
    request: RangeRequest,
    prefix: Prefix,
    head: ResponseHead,
    *,
    now: int,
    windows: Windows = WINDOWS,
) -> ResponseDecision:
    """What the reply to ``ask`` means; ``now`` (epoch seconds) is for dates in Retry-After."""
    return HEAD.decide(Exchange(request, prefix, head, now, windows))


def difference(first: int, mine: bytes, theirs: bytes) -> RequestAgain | None:
    """What a comparison from position ``first`` on means; None: it speaks for one object."""
    if mine == theirs:
        return None
    if mine.startswith(theirs):
        return RequestAgain(RangeRequest(), "the origin sent too little to compare")
    pairs = enumerate(zip(mine, theirs, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), len(mine))
    return RequestAgain(
        RangeRequest(), f"byte {first + at} on the origin differs from the one on disk"
    )
