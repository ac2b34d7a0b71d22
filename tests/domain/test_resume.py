import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.domain.failure import FailureCode
from spsd.domain.resume import (
    Append,
    Ask,
    AskAgain,
    Complete,
    Kept,
    Reject,
    Reply,
    StartOver,
    is_strong,
    judge,
    plan,
)

NOW = 1_700_000_000
KEPT = Kept(length=100, total=1000, etag='"a"')
RANGED = Ask(100, '"a"')
PART = {"content-range": "bytes 100-999/1000", "etag": '"a"'}

SIZES = st.integers(0, 30)
ETAGS = st.sampled_from([None, '"a"', '"b"', 'W/"a"', "a", '"', ""])
KEPTS = st.builds(
    Kept,
    length=SIZES,
    total=st.none() | SIZES,
    etag=ETAGS,
    same_url=st.booleans(),
)
RANGES = (
    st.builds("bytes {}-{}/{}".format, SIZES, SIZES, SIZES | st.just("*"))
    | st.builds("bytes */{}".format, SIZES)
    | st.text(max_size=12)
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-range": RANGES,
        "content-length": SIZES.map(str) | st.text(max_size=6) | st.just("9" * 5000),
        "etag": ETAGS.filter(lambda e: e is not None),
        "content-type": st.sampled_from(
            ["application/octet-stream", "text/html; x=y", "multipart/byteranges; boundary=x", ""]
        ),
        "content-encoding": st.sampled_from(["gzip", "identity", ""]),
        "retry-after": st.sampled_from(["0", "7", "soon", "-1"]) | st.text(max_size=40),
    },
)
STATUSES = st.sampled_from([200, 204, 206, 304, 404, 408, 416, 429, 500, 503]) | st.integers(
    100, 599
)
REPLIES = st.builds(Reply, STATUSES, HEADERS)
ASKS = st.builds(Ask, SIZES, st.sampled_from([None, '"a"', '"b"']))


@given(ASKS, KEPTS, REPLIES)
def test_bytes_are_only_appended_where_they_belong(ask, kept, reply):
    verdict = judge(ask, kept, reply, now=NOW)
    if not isinstance(verdict, Append):
        return
    assert reply.status == 206
    assert verdict.offset == ask.offset > 0
    unit, _, rest = reply.headers["content-range"].strip().partition(" ")
    span, _, size = rest.partition("/")
    first, last = map(int, span.split("-"))
    assert unit == "bytes"
    assert first == ask.offset <= last
    if size != "*":
        assert last < int(size)
        assert kept.total in (None, int(size))
        assert verdict.total == int(size)
    else:
        assert verdict.total == kept.total
    theirs = reply.headers.get("etag", "")
    if kept.same_url and theirs and kept.etag is not None and is_strong(kept.etag):
        assert theirs == kept.etag
    assert "html" not in reply.headers.get("content-type", "")
    assert "multipart" not in reply.headers.get("content-type", "")
    assert reply.headers.get("content-encoding", "") in ("", "identity")


@given(KEPTS, st.lists(REPLIES, min_size=3, max_size=3))
def test_an_attempt_never_needs_more_than_three_requests(kept, replies):
    ask = plan(kept)
    for reply in replies:
        if isinstance(ask, Complete):
            return
        verdict = judge(ask, kept, reply, now=NOW)
        if not isinstance(verdict, AskAgain):
            return
        assert verdict.ask != ask
        ask = verdict.ask
    pytest.fail("a fourth request would be sent")


@given(KEPTS, REPLIES)
def test_who_asks_for_everything_is_never_sent_back(kept, reply):
    verdict = judge(Ask(), kept, reply, now=NOW)
    assert isinstance(verdict, StartOver | Reject)
    assert not isinstance(verdict, StartOver) or reply.status == 200


@given(KEPTS)
def test_a_plan_asks_for_what_is_missing(kept):
    match plan(kept):
        case Complete():
            assert kept.length == kept.total > 0
        case Ask(offset, if_range):
            assert offset in (0, kept.length)
            assert kept.total is None or offset <= kept.total
            if if_range is not None:
                assert kept.same_url
                assert is_strong(if_range)
                assert offset > 0


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (Kept(), Ask()),
        (Kept(0, 1000, '"a"'), Ask()),
        (Kept(0, 0), Ask()),
        (Kept(100, None), Ask(100)),
        (Kept(100, 1000), Ask(100)),
        (Kept(100, 1000, '"a"'), Ask(100, '"a"')),
        (Kept(100, 1000, 'W/"a"'), Ask(100)),
        (Kept(100, 1000, None, "Mon, 01 Jan 2024 00:00:00 GMT"), Ask(100)),
        (Kept(100, 1000, '"a"', same_url=False), Ask(100)),
        (Kept(1000, 1000, '"a"'), Complete()),
        (Kept(1001, 1000, '"a"'), Ask()),
    ],
)
def test_plan(kept, expected):
    assert plan(kept) == expected


def test_a_request_says_what_it_asks():
    assert Ask().headers() == {}
    assert Ask(5).headers() == {"Range": "bytes=5-"}
    assert Ask(5, '"a"').headers() == {"Range": "bytes=5-", "If-Range": '"a"'}


@pytest.mark.parametrize(
    ("ask", "reply", "expected"),
    [
        # what is expected to be answered
        (Ask(), Reply(200, {"content-length": "1000"}), StartOver(1000)),
        (Ask(), Reply(200, {}), StartOver(None)),
        (Ask(), Reply(200, {"content-length": "x"}), StartOver(None)),
        (RANGED, Reply(206, PART), Append(100, 1000)),
        (RANGED, Reply(206, {"content-range": "bytes 100-999/*"}), Append(100, 1000)),
        (RANGED, Reply(206, {"content-range": "bytes 100-200/1000"}), Append(100, 1000)),
        # 200 to a range: changed, or ranges unknown here
        (RANGED, Reply(200, {"content-length": "9", "etag": '"b"'}), StartOver(9)),
        (RANGED, Reply(200, {"content-length": "9"}), StartOver(9)),
        (Ask(100), Reply(200, {"content-length": "1000", "etag": '"a"'}), StartOver(1000)),
        # 200 with a Content-Range: it means nothing
        (Ask(100), Reply(200, PART | {"content-length": "900"}), StartOver(900)),
    ],
)
def test_judge(ask, reply, expected):
    assert judge(ask, KEPT, reply, now=NOW) == expected


def test_a_matching_if_range_answered_200_is_asked_again_without():
    verdict = judge(RANGED, KEPT, Reply(200, {"etag": '"a"'}), now=NOW)
    assert isinstance(verdict, AskAgain)
    assert verdict.ask == Ask(100)


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
        PART | {"etag": 'W/"a"'},
        PART | {"content-encoding": "gzip"},
        PART | {"content-type": "multipart/byteranges; boundary=x"},
        PART | {"content-type": "Multipart/Byteranges"},
        PART | {"content-type": "text/html"},
    ],
)
def test_a_part_that_does_not_fit_is_asked_again_from_the_start(headers):
    verdict = judge(RANGED, KEPT, Reply(206, headers), now=NOW)
    assert isinstance(verdict, AskAgain)
    assert verdict.ask == Ask()
    assert verdict.why


def test_another_urls_validators_say_nothing():
    kept = Kept(100, 1000, '"a"', same_url=False)
    assert plan(kept) == Ask(100)
    verdict = judge(Ask(100), kept, Reply(206, PART | {"etag": '"other"'}), now=NOW)
    assert verdict == Append(100, 1000)


@pytest.mark.parametrize(
    ("content_range", "expected"),
    [
        ("bytes */100", Complete()),
        ("bytes */99", None),
        ("bytes */101", None),
        ("", None),
        ("bytes */x", None),
    ],
)
def test_unsatisfied(content_range, expected):
    kept = Kept(100, None)
    verdict = judge(Ask(100), kept, Reply(416, {"content-range": content_range}), now=NOW)
    if expected is not None:
        assert verdict == expected
    else:
        assert isinstance(verdict, AskAgain)
        assert verdict.ask == Ask()


@pytest.mark.parametrize("ask", [Ask(), RANGED])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-encoding": "gzip"}, FailureCode.CODED),
        ({"content-encoding": "GZIP "}, FailureCode.CODED),
        ({"content-type": "text/html; charset=utf-8"}, FailureCode.PORTAL),
        ({"content-type": "application/xhtml+xml"}, FailureCode.PORTAL),
    ],
)
def test_what_is_no_image_is_rejected_for_good(ask, headers, code):
    verdict = judge(ask, KEPT, Reply(200, headers | {"etag": '"a"'}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.code is code
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


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("value", ["7", "Tue, 14 Nov 2023 22:13:27 GMT"])
def test_retry_after_is_heard_in_both_forms(status, value):
    verdict = judge(Ask(), Kept(), Reply(status, {"retry-after": value}), now=NOW)
    assert isinstance(verdict, Reject)
    assert verdict.error.retry_after == 7


def test_416_to_a_plain_request_is_a_refusal():
    verdict = judge(Ask(), Kept(), Reply(416, {"content-range": "bytes */0"}), now=NOW)
    assert isinstance(verdict, Reject)
    assert not verdict.error.transient
