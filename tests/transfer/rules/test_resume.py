"""A reply for each row of the table, and its verdict."""

import pytest

from spsd.failures import FailureCode
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
    StartOver,
)
from spsd.transfer.rules.request import PLAN, Prefix, plan
from spsd.transfer.rules.response import HEAD, difference, judge

NOW = 1_700_000_000
KEPT = Kept(length=100, total=1000, etag='"a"')
RANGED = Ask(100, '"a"')
PART = {"content-range": "bytes 100-999/1000", "etag": '"a"'}
K = 1024


def seen(ask, reply, kept=KEPT):
    return Exchange(ask, kept, reply, NOW)


def status(code, **headers):
    return Reply(code, {name.replace("_", "-"): value for name, value in headers.items()})


def ranged(text, **more):
    return status(206, content_range=f"bytes {text}", **more)


OVERLAPPED = (Ask(8000, overlap=2000), Kept(8000, 10_000))
PROBED = (Ask(300 * K, probe=64 * K), Kept(300 * K, 400 * K))
ROWS = {
    "whole-coded": (seen(RANGED, status(200, content_encoding="gzip")), Reject),
    "if-range-ignored": (seen(RANGED, status(200, etag='"a"')), AskAgain(
        Ask(100), "the origin ignored a matching If-Range")),
    "whole-called-part": (seen(Ask(100), status(200, **{"content-range": PART["content-range"]})),
        AskAgain),
    "whole-changed": (seen(RANGED, status(200, etag='"b"', content_length="9")), StartOver(9)),
    "whole-to-range": (seen(RANGED, status(200, content_length="9")), StartOver(9)),
    "whole-untold": (seen(Ask(), status(200)), StartOver(None)),
    "whole": (seen(Ask(), status(200, content_length="1000")), StartOver(1000)),
    "part-unasked": (seen(Ask(), ranged("0-9/10")), Reject),
    "part-coded": (seen(RANGED, Reply(206, PART | {"content-encoding": "gzip"})), AskAgain),
    "part-multipart": (
        seen(RANGED, Reply(206, PART | {"content-type": "Multipart/Byteranges; boundary=x"})),
        AskAgain),
    "part-unnamed": (seen(RANGED, status(206)), AskAgain),
    "part-elsewhere": (seen(RANGED, ranged("101-999/1000")), AskAgain),
    "part-resized": (seen(RANGED, ranged("100-999/1001")), AskAgain),
    "part-changed": (seen(RANGED, ranged("100-999/1000", etag='"b"')), AskAgain),
    "part-all-here": (
        seen(Ask(8000, overlap=2000), ranged("6000-7999/8000"), Kept(8000, 9000)), Complete()),
    "part-too-short-to-compare": (
        seen(OVERLAPPED[0], ranged("6000-7998/10000"), OVERLAPPED[1]), AskAgain),
    "probe": (seen(PROBED[0], ranged(f"0-{64 * K - 1}/{400 * K}"), PROBED[1]), Compare(
        64 * K, Ask(300 * K, overlap=64 * K))),
    "overlap": (seen(OVERLAPPED[0], ranged("6000-9999/10000"), OVERLAPPED[1]), Append(
        8000, 10_000, 2000)),
    "part-unproven": (seen(Ask(8000, '"a"'), ranged("8000-9999/10000"), Kept(8000, None, '"a"')),
        AskAgain(Ask(8000, overlap=2000), "no strong ETag vouches for the part")),
    "part": (seen(RANGED, Reply(206, PART)), Append(100, 1000)),
    "past-the-end-complete": (
        seen(Ask(100), status(416, content_range="bytes */100"), Kept(100)), Complete()),
    "past-the-end-shorter": (seen(Ask(100), status(416, content_range="bytes */99")), AskAgain),
    "past-the-end-longer": (seen(Ask(100), status(416, content_range="bytes */101")), AskAgain),
    "past-the-end-untold": (seen(Ask(100), status(416)), AskAgain),
    "busy-until": (seen(Ask(), status(503, retry_after="7")), Reject),
    "busy": (seen(Ask(), status(429, retry_after="soon")), Reject),
    "denied": (seen(RANGED, status(403)), Reject),
    "gone": (seen(RANGED, status(404)), Reject),
    "refused": (seen(Ask(), status(416, content_range="bytes */0")), Reject),
    "no-object": (seen(Ask(), status(304)), Reject),
}  # fmt: skip
"""For each row a reply that it is the first to hold for, and the verdict."""


def test_every_row_is_reached():
    assert [row.name for row in HEAD.rows] == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    exchange, expected = ROWS[name]
    assert HEAD.row(exchange).name == name
    verdict = HEAD.decide(exchange)
    assert isinstance(verdict, expected) if isinstance(expected, type) else verdict == expected
    if isinstance(verdict, AskAgain):
        assert verdict.why
        assert isinstance(expected, AskAgain) or verdict.ask == Ask()


PLANS = {
    "all-here": [(Kept(1000, 1000, '"a"'), Complete()), (Kept(7, 7), Complete())],
    "nothing-here": [(Kept(), Ask()), (Kept(0, 1000, '"a"'), Ask()), (Kept(0, 0), Ask())],
    "too-much-here": [(Kept(1001, 1000, '"a"'), Ask())],
    "strong-etag": [
        (Kept(100, 1000, '"a"'), Ask(100, '"a"')),
        (Kept(5_000_000, None, '"a"'), Ask(5_000_000, '"a"')),
    ],
    "too-few-to-prove": [(Kept(4096), Ask()), (Kept(100, 1000, '"a"', same_url=False), Ask())],
    "some-to-prove": [
        (Kept(4097), Ask(4097, overlap=1024)),
        (Kept(256 * K - 1, None, 'W/"a"'), Ask(256 * K - 1, overlap=64 * K - 1)),
        (Kept(8000, 9000, '"a"', same_url=False), Ask(8000, overlap=2000)),
        (Kept(8000, 9000, "a"), Ask(8000, overlap=2000)),
    ],
    "much-to-prove": [(Kept(256 * K), Ask(256 * K, probe=64 * K))],
}


def test_every_row_of_the_plan_is_reached():
    assert [row.name for row in PLAN.rows] == list(PLANS)


@pytest.mark.parametrize(
    ("name", "kept", "expected"), [(name, *case) for name in PLANS for case in PLANS[name]]
)
def test_plan(name, kept, expected):
    assert PLAN.row(Prefix(kept)).name == name
    assert plan(kept) == expected


def test_a_request_says_what_it_asks():
    assert Ask().headers() == {}
    assert Ask(5).headers() == {"Range": "bytes=5-"}
    assert Ask(5, '"a"').headers() == {"Range": "bytes=5-", "If-Range": '"a"'}
    assert Ask(500, overlap=100).headers() == {"Range": "bytes=400-"}
    assert Ask(500, probe=100).headers() == {"Range": "bytes=0-99"}


@pytest.mark.parametrize(
    ("ask", "reply", "expected"),
    [
        (Ask(), Reply(200, {"content-length": "x"}), StartOver(None)),
        (RANGED, Reply(206, PART | {"content-range": "bytes 100-999/*"}), Append(100, 1000)),
        (RANGED, Reply(206, PART | {"content-range": "bytes 100-200/1000"}), Append(100, 1000)),
        # that it is called something else does not matter: a validator vouches for it
        (RANGED, Reply(206, PART | {"content-type": "text/html"}), Append(100, 1000)),
        # a 200 to a plain range, from a CDN that has ignored If-Range already
        (Ask(100), Reply(200, {"content-length": "1000", "etag": '"a"'}), StartOver(1000)),
        # the Content-Range of a 200 means nothing, as long as it does not say "part"
        (
            Ask(100),
            Reply(200, {"content-range": "bytes 0-999/1000", "content-length": "1000"}),
            StartOver(1000),
        ),
        (Ask(), Reply(200, PART | {"content-length": "900"}), StartOver(900)),
    ],
)
def test_judge(ask, reply, expected):
    assert judge(ask, KEPT, reply, now=NOW) == expected


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
        PART | {"etag": 'W/"a"'},  # too few bytes here to compare
        PART | {"content-encoding": "gzip"},
        PART | {"content-type": "multipart/byteranges; boundary=x"},
    ],
)
def test_a_part_that_does_not_fit_is_asked_again_from_the_start(headers):
    verdict = judge(RANGED, KEPT, Reply(206, headers), now=NOW)
    assert isinstance(verdict, AskAgain)
    assert verdict.ask == Ask()
    assert verdict.why


def test_a_part_that_is_shorter_than_what_is_here_is_another_object():
    kept = Kept(8000, None)
    reply = Reply(206, {"content-range": "bytes 6000-6999/7000"})
    assert HEAD.row(seen(Ask(8000, overlap=2000), reply, kept)).name == "part-resized"


def test_another_urls_validators_say_nothing():
    kept = Kept(8000, 10_000, '"a"', same_url=False)
    ask = plan(kept)
    reply = Reply(206, {"content-range": "bytes 6000-9999/10000", "etag": '"other"'})
    assert judge(ask, kept, reply, now=NOW) == Append(8000, 10_000, 2000)


def test_a_416_is_no_proof_of_completeness_where_bytes_that_are_here_were_asked_for():
    kept = Kept(8000, None)
    reply = Reply(416, {"content-range": "bytes */8000"})
    assert isinstance(judge(Ask(8000, overlap=2000), kept, reply, now=NOW), AskAgain)


@pytest.mark.parametrize("coding", ["gzip", "GZIP ", "br"])
@pytest.mark.parametrize("ask", [Ask(), RANGED])
def test_a_coded_image_is_rejected_for_good(ask, coding):
    verdict = judge(ask, KEPT, Reply(200, {"content-encoding": coding, "etag": '"a"'}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.CODED
    assert not verdict.error.transient


def test_an_unasked_part_is_no_http():
    verdict = judge(Ask(), Kept(), Reply(206, PART), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.PROTOCOL


@pytest.mark.parametrize("ask", [Ask(), RANGED])
@pytest.mark.parametrize(
    ("status", "transient"),
    [
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
        *((status, False) for status in (100, 204, 304, 400, 401, 403, 404, 410, 451, 600)),
    ],
)
def test_statuses(ask, status, transient):
    verdict = judge(ask, KEPT, Reply(status, {}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is FailureCode.ORIGIN_STATUS
    assert verdict.error.transient is transient
    assert verdict.error.retry_after is None
    assert transient or verdict.error.evidence == {"kept bytes": 100}


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("value", ["7", "Tue, 14 Nov 2023 22:13:27 GMT"])
def test_retry_after_is_heard_in_both_forms(status, value):
    verdict = judge(Ask(), Kept(), Reply(status, {"retry-after": value}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.retry_after == 7


def test_a_difference_names_its_place():
    assert difference(1000, b"abcd", b"abXd").why == "byte 1002 on the origin is not the one kept"
    assert difference(0, b"abcd", b"ab").why == "the origin sent too little to compare"
