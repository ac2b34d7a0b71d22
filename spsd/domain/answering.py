"""What the head of a reply means, as a decision table (references are to RFC 9110)."""

from spsd.decision_table import Outcome, Table
from spsd.domain.exchange import Ask, AskAgain, Exchange, Same, Verdict
from spsd.domain.head_rows import HeadRow, for_good, for_now, over, retry_after, status, whole
from spsd.domain.parts import PART_ROWS, PAST_THE_END_ROWS
from spsd.failures import FailureCode

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
"""What the head of a reply means; the body is judged as it comes, in spsd.domain.receiving."""
