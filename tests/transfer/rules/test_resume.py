"""A response for each row of the table, and its verdict."""

import pytest

from spsd.failures import FailureCode
from spsd.transfer.rules.messages import (
    Append,
    Compare,
    Complete,
    Exchange,
    Prefix,
    RangeRequest,
    Reject,
    RequestAgain,
    ResponseHead,
    Restart,
)
from spsd.transfer.rules.request import PLAN, PlanInput, plan
from spsd.transfer.rules.response import HEAD, difference, judge

NOW = 1_700_000_000
KEPT = Prefix(length=100, total=1000, etag='"a"')
RANGED = RangeRequest(100, '"a"')
PART = {"content-range": "bytes 100-999/1000", "etag": '"a"'}
K = 1024


def exchanged(request, head, prefix=KEPT):
    return Exchange(request, prefix, head, NOW)


def status(code, **headers):
    return ResponseHead(code, {name.replace("_", "-"): value for name, value in headers.items()})


def ranged(text, **more):
    return status(206, content_range=f"bytes {text}", **more)


OVERLAPPED = (RangeRequest(8000, overlap=2000), Prefix(8000, 10_000))
PROBED = (RangeRequest(300 * K, probe=64 * K), Prefix(300 * K, 400 * K))
ROWS = {
    "whole-coded": (exchanged(RANGED, status(200, content_encoding="gzip")), Reject),
    "if-range-ignored": (
        exchanged(RANGED, status(200, etag='"a"')),
        RequestAgain(RangeRequest(100), "the origin ignored a matching If-Range"),
    ),
    "whole-called-part": (
        exchanged(RangeRequest(100), status(200, **{"content-range": PART["content-range"]})),
        RequestAgain,
    ),
    "whole-changed": (exchanged(RANGED, status(200, etag='"b"', content_length="9")), Restart(9)),
    "whole-to-range": (exchanged(RANGED, status(200, content_length="9")), Restart(9)),
    "whole-without-length": (exchanged(RangeRequest(), status(200)), Restart(None)),
    "whole": (exchanged(RangeRequest(), status(200, content_length="1000")), Restart(1000)),
    "part-unrequested": (exchanged(RangeRequest(), ranged("0-9/10")), Reject),
    "part-coded": (
        exchanged(RANGED, ResponseHead(206, PART | {"content-encoding": "gzip"})),
        RequestAgain,
    ),
    "part-multipart": (
        exchanged(
            RANGED, ResponseHead(206, PART | {"content-type": "Multipart/Byteranges; boundary=x"})
        ),
        RequestAgain,
    ),
    "part-without-content-range": (exchanged(RANGED, status(206)), RequestAgain),
    "part-elsewhere": (exchanged(RANGED, ranged("101-999/1000")), RequestAgain),
    "part-resized": (exchanged(RANGED, ranged("100-999/1001")), RequestAgain),
    "part-changed": (exchanged(RANGED, ranged("100-999/1000", etag='"b"')), RequestAgain),
    "part-of-complete": (
        exchanged(RangeRequest(8000, overlap=2000), ranged("6000-7999/8000"), Prefix(8000, 9000)),
        Complete(),
    ),
    "part-too-short-to-compare": (
        exchanged(OVERLAPPED[0], ranged("6000-7998/10000"), OVERLAPPED[1]),
        RequestAgain,
    ),
    "probe": (
        exchanged(PROBED[0], ranged(f"0-{64 * K - 1}/{400 * K}"), PROBED[1]),
        Compare(64 * K, RangeRequest(300 * K, overlap=64 * K)),
    ),
    "overlap": (
        exchanged(OVERLAPPED[0], ranged("6000-9999/10000"), OVERLAPPED[1]),
        Append(8000, 10_000, 2000),
    ),
    "part-unverified": (
        exchanged(RangeRequest(8000, '"a"'), ranged("8000-9999/10000"), Prefix(8000, None, '"a"')),
        RequestAgain(RangeRequest(8000, overlap=2000), "the part has no strong ETag"),
    ),
    "part": (exchanged(RANGED, ResponseHead(206, PART)), Append(100, 1000)),
    "past-the-end-complete": (
        exchanged(RangeRequest(100), status(416, content_range="bytes */100"), Prefix(100)),
        Complete(),
    ),
    "past-the-end-shorter": (
        exchanged(RangeRequest(100), status(416, content_range="bytes */99")),
        RequestAgain,
    ),
    "past-the-end-longer": (
        exchanged(RangeRequest(100), status(416, content_range="bytes */101")),
        RequestAgain,
    ),
    "past-the-end-without-size": (exchanged(RangeRequest(100), status(416)), RequestAgain),
    "busy-until": (exchanged(RangeRequest(), status(503, retry_after="7")), Reject),
    "busy": (exchanged(RangeRequest(), status(429, retry_after="soon")), Reject),
    "denied": (exchanged(RANGED, status(403)), Reject),
    "gone": (exchanged(RANGED, status(404)), Reject),
    "refused": (exchanged(RangeRequest(), status(416, content_range="bytes */0")), Reject),
    "no-object": (exchanged(RangeRequest(), status(304)), Reject),
}
"""For each row a response for which it is the first to hold, and the verdict."""


def test_every_row_is_reached():
    assert [row.name for row in HEAD.rows] == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    exchange, expected = ROWS[name]
    assert HEAD.row(exchange).name == name
    verdict = HEAD.decide(exchange)
    assert isinstance(verdict, expected) if isinstance(expected, type) else verdict == expected
    if isinstance(verdict, RequestAgain):
        assert verdict.why
        assert isinstance(expected, RequestAgain) or verdict.request == RangeRequest()


PLANS = {
    "all-on-disk": [(Prefix(1000, 1000, '"a"'), Complete()), (Prefix(7, 7), Complete())],
    "no-bytes": [
        (Prefix(), RangeRequest()),
        (Prefix(0, 1000, '"a"'), RangeRequest()),
        (Prefix(0, 0), RangeRequest()),
    ],
    "too-many-bytes": [(Prefix(1001, 1000, '"a"'), RangeRequest())],
    "strong-etag": [
        (Prefix(100, 1000, '"a"'), RangeRequest(100, '"a"')),
        (Prefix(5_000_000, None, '"a"'), RangeRequest(5_000_000, '"a"')),
    ],
    "too-few-to-compare": [
        (Prefix(4096), RangeRequest()),
        (Prefix(100, 1000, '"a"', same_url=False), RangeRequest()),
    ],
    "some-to-compare": [
        (Prefix(4097), RangeRequest(4097, overlap=1024)),
        (Prefix(256 * K - 1, None, 'W/"a"'), RangeRequest(256 * K - 1, overlap=64 * K - 1)),
        (Prefix(8000, 9000, '"a"', same_url=False), RangeRequest(8000, overlap=2000)),
        (Prefix(8000, 9000, "a"), RangeRequest(8000, overlap=2000)),
    ],
    "much-to-compare": [(Prefix(256 * K), RangeRequest(256 * K, probe=64 * K))],
}


def test_every_row_of_the_plan_is_reached():
    assert [row.name for row in PLAN.rows] == list(PLANS)


@pytest.mark.parametrize(
    ("name", "prefix", "expected"), [(name, *case) for name in PLANS for case in PLANS[name]]
)
def test_plan(name, prefix, expected):
    assert PLAN.row(PlanInput(prefix)).name == name
    assert plan(prefix) == expected


def test_the_header_fields_of_a_request():
    assert RangeRequest().headers() == {}
    assert RangeRequest(5).headers() == {"Range": "bytes=5-"}
    assert RangeRequest(5, '"a"').headers() == {"Range": "bytes=5-", "If-Range": '"a"'}
    assert RangeRequest(500, overlap=100).headers() == {"Range": "bytes=400-"}
    assert RangeRequest(500, probe=100).headers() == {"Range": "bytes=0-99"}


@pytest.mark.parametrize(
    ("sent", "head", "expected"),
    [
        (RangeRequest(), ResponseHead(200, {"content-length": "x"}), Restart(None)),
        (RANGED, ResponseHead(206, PART | {"content-range": "bytes 100-999/*"}), Append(100, 1000)),
        (
            RANGED,
            ResponseHead(206, PART | {"content-range": "bytes 100-200/1000"}),
            Append(100, 1000),
        ),
        # the media type does not matter: the ETag identifies the object
        (RANGED, ResponseHead(206, PART | {"content-type": "text/html"}), Append(100, 1000)),
        # a 200 to a range without If-Range, from a CDN that has ignored If-Range before
        (
            RangeRequest(100),
            ResponseHead(200, {"content-length": "1000", "etag": '"a"'}),
            Restart(1000),
        ),
        # the Content-Range of a 200 has no meaning, unless it names a later part
        (
            RangeRequest(100),
            ResponseHead(200, {"content-range": "bytes 0-999/1000", "content-length": "1000"}),
            Restart(1000),
        ),
        (RangeRequest(), ResponseHead(200, PART | {"content-length": "900"}), Restart(900)),
    ],
)
def test_judge(sent, head, expected):
    assert judge(sent, KEPT, head, now=NOW) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"content-range": "bytes 101-999/1000"},
        {"content-range": "bytes 0-999/1000"},
        {"content-range": "bytes 100-99/1000"},
        {"content-range": "bytes 100-1000/1000"},
        {"content-range": "bytes 100-999/1001"},
        {"content-range": "items 100-999/1000"},
        {"content-range": "bytes */1000"},
        {"content-range": "bytes 100-999/" + "9" * 5000},
        {},
        PART | {"etag": '"b"'},
        PART | {"etag": 'W/"b"'},
        PART | {"etag": 'W/"a"'},  # too few bytes on disk to compare
        PART | {"content-encoding": "gzip"},
        PART | {"content-type": "multipart/byteranges; boundary=x"},
    ],
)
def test_a_part_that_does_not_fit_leads_to_a_request_for_the_whole_object(headers):
    verdict = judge(RANGED, KEPT, ResponseHead(206, headers), now=NOW)
    assert isinstance(verdict, RequestAgain)
    assert verdict.request == RangeRequest()
    assert verdict.why


def test_a_total_below_the_bytes_on_disk_means_another_object():
    prefix = Prefix(8000, None)
    head = ResponseHead(206, {"content-range": "bytes 6000-6999/7000"})
    assert (
        HEAD.row(exchanged(RangeRequest(8000, overlap=2000), head, prefix)).name == "part-resized"
    )


def test_the_etag_of_another_url_is_ignored():
    prefix = Prefix(8000, 10_000, '"a"', same_url=False)
    request = plan(prefix)
    head = ResponseHead(206, {"content-range": "bytes 6000-9999/10000", "etag": '"other"'})
    assert judge(request, prefix, head, now=NOW) == Append(8000, 10_000, 2000)


def test_a_416_to_an_overlap_does_not_mean_complete():
    prefix = Prefix(8000, None)
    head = ResponseHead(416, {"content-range": "bytes */8000"})
    assert isinstance(judge(RangeRequest(8000, overlap=2000), prefix, head, now=NOW), RequestAgain)


@pytest.mark.parametrize("coding", ["gzip", "GZIP ", "br"])
@pytest.mark.parametrize("sent", [RangeRequest(), RANGED])
def test_a_coded_image_is_rejected_for_good(sent, coding):
    verdict = judge(
        sent, KEPT, ResponseHead(200, {"content-encoding": coding, "etag": '"a"'}), now=NOW
    )
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.CODED
    assert not verdict.error.transient


def test_an_unrequested_part_is_a_protocol_error():
    verdict = judge(RangeRequest(), Prefix(), ResponseHead(206, PART), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.PROTOCOL


@pytest.mark.parametrize("sent", [RangeRequest(), RANGED])
@pytest.mark.parametrize(
    ("status", "transient"),
    [
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
        *((status, False) for status in (100, 204, 304, 400, 401, 403, 404, 410, 451, 600)),
    ],
)
def test_statuses(sent, status, transient):
    verdict = judge(sent, KEPT, ResponseHead(status, {}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.ORIGIN_STATUS
    assert verdict.error.transient is transient
    assert verdict.error.retry_after is None
    assert transient or verdict.error.evidence == {"bytes on disk": 100}


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("value", ["7", "Tue, 14 Nov 2023 22:13:27 GMT"])
def test_retry_after_is_read_in_both_forms(status, value):
    verdict = judge(RangeRequest(), Prefix(), ResponseHead(status, {"retry-after": value}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.retry_after == 7


def test_a_difference_names_its_place():
    assert (
        difference(1000, b"abcd", b"abXd").why
        == "byte 1002 on the origin differs from the one on disk"
    )
    assert difference(0, b"abcd", b"ab").why == "the origin sent too little to compare"
