"""What the head of a response means, as a decision table. Pure; sections are those of RFC 9110.

``judge`` decides from the request, the prefix on disk and the response's head: the first row that
holds gives the verdict, and docs/resume.md is printed from the same rows. The body is judged in
:mod:`spsd.transfer.rules.body`. Only the digest verifies bytes; these rules avoid that bytes of two
objects are mixed, or fetched twice without need.

The rows are ordered by status:

1. 200, the whole object (section 15.3.1): its coding first, then why it came instead of a part.
2. 206, a part (section 15.3.7): is it readable, is it the requested range, is the object the same?
3. 416, no bytes at that offset (section 15.5.17): is the object complete, or another one?
4. Any other status is an error: transient, permanent, or no response to a GET of an object.
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
HeadOutcome = Outcome[Exchange, ResponseDecision]
Predicate = Callable[[Exchange], bool]


def has_status(status: int, test: Predicate = lambda _: True) -> Predicate:
    """A predicate: the response has that status, and ``test`` holds."""
    return lambda exchange: exchange.head.status == status and test(exchange)


def retry_after(exchange: Exchange) -> float | None:
    """Retry-After in seconds from now (section 10.2.3); None if absent or unreadable."""
    return retry_after_seconds(exchange.head.headers.get("retry-after"), now=exchange.now)


def request_whole(why: str) -> HeadOutcome:
    """The outcome that this body is not read, and the whole object requested."""
    return Outcome("request the whole object", lambda _: RequestAgain(RangeRequest(), why))


def restart_with_body(why: str) -> HeadOutcome:
    """The outcome that this body, the whole object, replaces the prefix."""
    return Outcome("start over with this body", lambda exchange: Restart(exchange.head.length, why))


def reject_permanently(code: FailureCode, what: Callable[[Exchange], str]) -> HeadOutcome:
    """The outcome that the attempt fails, and no later attempt can succeed."""

    def verdict(exchange: Exchange) -> ResponseDecision:
        evidence = {"bytes on disk": exchange.prefix.length} if exchange.prefix.length else {}
        return Reject(OriginError(code, what(exchange), evidence, transient=False))

    return Outcome(f"fail for good: `{code}`", verdict)


def reject_for_now(code: FailureCode, what: Callable[[Exchange], str]) -> HeadOutcome:
    """The outcome that the attempt fails, and a later attempt may succeed."""
    return Outcome(
        f"try later: `{code}`",
        lambda exchange: Reject(
            OriginError(code, what(exchange), retry_after=retry_after(exchange))
        ),
    )


def _part_where(test: Callable[[Exchange, Span], bool]) -> Predicate:
    """A predicate: the response is a 206 with a readable Content-Range, and ``test`` holds."""

    def holds(exchange: Exchange) -> bool:
        span = exchange.head.span
        return exchange.head.status == 206 and span is not None and test(exchange, span)

    return holds


def _past_the_end_where(test: Callable[[Exchange, int | None], bool]) -> Predicate:
    """A predicate: the response is a 416 to a range, and ``test`` holds for the stated size."""
    return has_status(
        416,
        lambda exchange: (
            exchange.request.offset > 0 and test(exchange, exchange.head.complete_length)
        ),
    )


def _is_resized(exchange: Exchange, span: Span) -> bool:
    if span.total is None or span.total == exchange.prefix.length:
        return False
    known = exchange.prefix.total
    return span.total < exchange.prefix.length if known is None else span.total != known


def _is_too_little_to_compare(exchange: Exchange, span: Span) -> bool:
    if exchange.request.probe:
        return span.last != exchange.request.probe - 1
    return span.last < exchange.request.offset - 1


def _append(exchange: Exchange) -> ResponseDecision:
    # The complete length may be unknown to the origin, "*" (section 14.4): then that of before.
    stated = exchange.head.span.total if exchange.head.span is not None else None
    total = stated if stated is not None else exchange.prefix.total
    return Append(exchange.request.offset, total, exchange.request.overlap)


# Step 2: 206, a part (section 15.3.7). First what makes its bytes unusable (rows up to
# part-elsewhere), then signs of another object (part-resized, part-changed), then the comparisons
# that take the place of a strong ETag; the part that is simply appended comes last.
PART_ROWS = (
    HeadRow(
        "part-unrequested",
        "206 to a request without Range",
        has_status(206, lambda exchange: exchange.request.offset == 0),
        reject_for_now(FailureCode.PROTOCOL, lambda _: "the origin sent a part, unrequested (206)"),
        "A 206 answers a range request only (section 15.3.7), so it is unknown what its bytes are.",
    ),
    HeadRow(
        "part-coded",
        "206 with a Content-Encoding",
        has_status(206, lambda exchange: exchange.head.coding != ""),
        request_whole("the origin sent a part with a content coding"),
        "The range is one of the coded bytes, at other positions than in the object.",
    ),
    HeadRow(
        "part-multipart",
        "206 as multipart/byteranges",
        has_status(206, lambda exchange: exchange.head.media_type == "multipart/byteranges"),
        request_whole("the origin sent a multipart range"),
        "A request for one range must not get several parts (section 15.3.7.2).",
    ),
    HeadRow(
        "part-without-content-range",
        "206 without a readable Content-Range",
        has_status(206, lambda exchange: exchange.head.span is None),
        request_whole("the origin sent a part without a readable Content-Range"),
        "The position of the bytes is unknown.",
    ),
    HeadRow(
        "part-elsewhere",
        "206 with another offset, or with an invalid range",
        _part_where(
            lambda exchange, span: span.first != exchange.request.first or not span.is_possible
        ),
        request_whole("the origin sent another part than the requested one"),
        "Its bytes would be written to the wrong position.",
    ),
    HeadRow(
        "part-resized",
        "206 with another total than stated before, or with a smaller one than the bytes on disk; "
        "not if the total equals them",
        _part_where(_is_resized),
        request_whole("the object on the origin has another size now"),
        "Another size is another object.",
    ),
    HeadRow(
        "part-changed",
        "206 with another ETag than the prefix has",
        _part_where(lambda exchange, _: exchange.validator_match is ValidatorMatch.NO),
        request_whole("the object on the origin has changed"),
        "Servers that ignore If-Range send this for a changed object (section 13.1.5).",
    ),
    HeadRow(
        "part-of-complete",
        "206 with a total that equals the bytes on disk",
        _part_where(lambda exchange, span: span.total == exchange.prefix.length),
        Outcome("complete", lambda _: Complete()),
        "No byte is missing. The digest decides.",
    ),
    HeadRow(
        "part-too-short-to-compare",
        "206 with fewer (or other) bytes than requested for comparison",
        _part_where(_is_too_little_to_compare),
        request_whole("the origin sent too little to compare"),
        "Without the comparison nothing shows that the object is the same.",
    ),
    HeadRow(
        "probe",
        "206 with the first bytes, requested for comparison",
        _part_where(lambda exchange, _: exchange.request.probe > 0),
        Outcome(
            "compare; if equal, request the rest and the last bytes on disk, else the whole object",
            lambda exchange: Compare(
                exchange.request.probe,
                overlap_request(PlanInput(exchange.prefix, exchange.windows)),
            ),
        ),
        "There is no strong ETag, so the bytes themselves are compared.",
    ),
    HeadRow(
        "overlap",
        "206 with the rest and the last bytes on disk",
        _part_where(lambda exchange, _: exchange.request.overlap > 0),
        Outcome("compare; if equal, append, else request the whole object", _append),
        "A changed object is noticed before a byte of it is appended.",
    ),
    HeadRow(
        "part-unverified",
        "206 whose ETag is missing or weak",
        _part_where(lambda exchange, _: exchange.validator_match is ValidatorMatch.UNKNOWN),
        Outcome(
            "request bytes for comparison",
            lambda exchange: RequestAgain(
                comparison_request(PlanInput(exchange.prefix, exchange.windows)),
                "the part has no strong ETag",
            ),
        ),
        "A 206 must have the ETag that a 200 would have (section 15.3.7); without it, the origin "
        "may have ignored If-Range.",
    ),
    HeadRow(
        "part",
        "206 at the requested offset, with the same strong ETag",
        has_status(206),
        Outcome("append", _append),
        "It continues the bytes on disk. If it is shorter than requested, the next attempt "
        "requests the rest.",
    ),
)
# Step 3: 416 to a range (section 15.5.17). Its Content-Range states the object's size, or should.
PAST_THE_END_ROWS = (
    HeadRow(
        "past-the-end-complete",
        "416 with a size that equals the bytes on disk",
        _past_the_end_where(
            lambda exchange, size: (
                size == exchange.prefix.length and exchange.request.first == exchange.request.offset
            )
        ),
        Outcome("complete", lambda _: Complete()),
        "The size was unknown, and every byte is on disk (section 15.5.17). The digest decides.",
    ),
    HeadRow(
        "past-the-end-shorter",
        "416 with a smaller size than the bytes on disk",
        _past_the_end_where(
            lambda exchange, size: size is not None and size < exchange.prefix.length
        ),
        request_whole("the object on the origin is shorter now"),
        "Another size is another object.",
    ),
    HeadRow(
        "past-the-end-longer",
        "416 with any other size",
        _past_the_end_where(lambda _, size: size is not None),
        request_whole("the origin refuses a range within the object (416)"),
        "The response contradicts itself; without Range it cannot.",
    ),
    HeadRow(
        "past-the-end-without-size",
        "416 without a size",
        _past_the_end_where(lambda _, size: size is None),
        request_whole("the origin has no bytes there (416)"),
        "It is unknown whether the bytes on disk are complete.",
    ),
)
TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Transient besides every 5xx (section 15.6): 408 Request Timeout (section 15.5.9), 425 Too Early
(RFC 8470 section 5.2) and 429 Too Many Requests (RFC 6585 section 4)."""


def _is_part_of_whole(exchange: Exchange) -> bool:
    span = exchange.head.span
    return exchange.request.offset > 0 and span is not None and span.first > 0


def _is_transient(exchange: Exchange) -> bool:
    return exchange.head.status in TRANSIENT_STATUSES or 500 <= exchange.head.status < 600


def _status_sentence(exchange: Exchange) -> str:
    return f"the origin answered {exchange.head.status}"


# Step 1: 200, the whole object (section 15.3.1), whether a part was requested or not: a server may
# ignore Range (section 14.2), and If-Range makes it send the whole object if that has changed.
_WHOLE_ROWS = (
    HeadRow(
        "whole-coded",
        "200 with a Content-Encoding",
        has_status(200, lambda exchange: exchange.head.coding != ""),
        reject_permanently(
            FailureCode.CODED,
            lambda exchange: (
                f"the origin sent the image with content coding {exchange.head.coding!r}"
            ),
        ),
        "Only the coding identity was requested (section 12.5.3); the digest is over the plain "
        "bytes.",
    ),
    HeadRow(
        "if-range-ignored",
        "200 to If-Range, with the same ETag that was sent",
        has_status(
            200,
            lambda exchange: (
                exchange.request.if_range is not None
                and exchange.validator_match is ValidatorMatch.YES
            ),
        ),
        Outcome(
            "request again without If-Range",
            lambda exchange: RequestAgain(
                RangeRequest(exchange.request.offset), "the origin ignored a matching If-Range"
            ),
        ),
        "Some CDNs always do so; the ETag of a 206 is compared anyway.",
    ),
    HeadRow(
        "whole-called-part",
        "200 to a range, with the Content-Range of a later part",
        has_status(200, _is_part_of_whole),
        request_whole("the origin sent a part as a whole"),
        "Content-Range has no meaning in a 200 (section 14.4), so it is unknown what the body is.",
    ),
    HeadRow(
        "whole-changed",
        "200 to a range, with another ETag",
        has_status(
            200,
            lambda exchange: (
                exchange.request.offset > 0 and exchange.validator_match is ValidatorMatch.NO
            ),
        ),
        restart_with_body("the object on the origin has changed"),
        "If-Range requests exactly this (section 13.1.5).",
    ),
    HeadRow(
        "whole-to-range",
        "any other 200 to a range",
        has_status(200, lambda exchange: exchange.request.offset > 0),
        restart_with_body("the origin sent the whole object, not a part"),
        "A server may ignore Range (section 14.2).",
    ),
    HeadRow(
        "whole-without-length",
        "200 without a Content-Length: chunked, or ended by the end of the connection",
        has_status(200, lambda exchange: exchange.head.length is None),
        restart_with_body("the origin sent the object"),
        "The end of the body is the end of the object (RFC 9112 section 6.3); the digest decides.",
    ),
    HeadRow(
        "whole",
        "200 with a Content-Length",
        has_status(200),
        restart_with_body("the origin sent the object"),
        "It is what was requested. A web page is recognized by its first bytes, below.",
    ),
)
# Step 4: any other status is an error.
_STATUS_ROWS = (
    HeadRow(
        "busy-until",
        "408, 425, 429 or 5xx with a Retry-After, as seconds or a date",
        lambda exchange: _is_transient(exchange) and retry_after(exchange) is not None,
        reject_for_now(FailureCode.ORIGIN_STATUS, _status_sentence),
        "The next attempt waits that long, at most an hour (section 10.2.3).",
    ),
    HeadRow(
        "busy",
        "408, 425, 429 or 5xx without a readable Retry-After",
        _is_transient,
        reject_for_now(FailureCode.ORIGIN_STATUS, _status_sentence),
        "The next attempt follows after the usual wait, while the budget of attempts lasts.",
    ),
    HeadRow(
        "denied",
        "401, 403 or 407",
        lambda exchange: exchange.head.status in {401, 403, 407},
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "Wrong credentials or an expired signature stay so. The bytes stay on disk: a newly signed "
        "URL continues after them.",
    ),
    HeadRow(
        "gone",
        "404 or 410, also in the middle of a download",
        lambda exchange: exchange.head.status in {404, 410},
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "The object was removed or moved. The bytes stay on disk: a mirror continues after them.",
    ),
    HeadRow(
        "refused",
        "any other 4xx",
        lambda exchange: exchange.head.status // 100 == 4,
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "The same request would get the same response (section 15.5).",
    ),
    HeadRow(
        "no-object",
        "anything else: 1xx, another 2xx, 300, 304",
        lambda _: True,
        reject_permanently(FailureCode.ORIGIN_STATUS, _status_sentence),
        "None of these carries the object, and the request did not ask for any of them.",
    ),
)
HEAD: Table[Exchange, ResponseDecision] = Table(
    (*_WHOLE_ROWS, *PART_ROWS, *PAST_THE_END_ROWS, *_STATUS_ROWS)
)
"""What the head of a response means; its body is judged in spsd.transfer.rules.body."""


def judge(
    request: RangeRequest,
    prefix: Prefix,
    head: ResponseHead,
    *,
    now: int,
    windows: Windows = WINDOWS,
) -> ResponseDecision:
    """What the response to ``request`` means; ``now`` (epoch seconds) is for dates in Retry-After.

    ``prefix`` is what was on disk when the request was sent.
    """
    return HEAD.decide(Exchange(request, prefix, head, now, windows))


def difference(first: int, mine: bytes, theirs: bytes) -> RequestAgain | None:
    """Compare the prefix's bytes from position ``first`` on with the origin's.

    None if they are equal, else the request for the whole object, with the reason.
    """
    if mine == theirs:
        return None
    if mine.startswith(theirs):
        return RequestAgain(RangeRequest(), "the origin sent too little to compare")
    pairs = enumerate(zip(mine, theirs, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), len(mine))
    return RequestAgain(
        RangeRequest(), f"byte {first + at} on the origin differs from the one on disk"
    )
