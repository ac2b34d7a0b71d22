"""Properties that hold for every response to every request."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Windows,
    is_strong,
)
from spsd.transfer.rules.request import WINDOWS, plan
from spsd.transfer.rules.response import HEAD, difference, judge

NOW = 1_700_000_000
TINY = Windows(16, 64)
K = 1024
SIZES = st.integers(0, 30)
ETAGS = st.sampled_from([None, '"a"', '"b"', 'W/"a"', "a", '"', ""])
PREFIXES = st.builds(
    Prefix, length=SIZES | st.integers(30, 200), total=st.none() | SIZES, etag=ETAGS,
    same_url=st.booleans(),
)  # fmt: skip
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
ANY_RESPONSES = st.builds(ResponseHead, STATUSES, HEADERS)


def possible_requests(prefix):
    """Every request that is possible with this prefix."""
    requests = [RangeRequest()]
    if prefix.length:
        requests += [RangeRequest(prefix.length), RangeRequest(prefix.length, '"a"')]
    if prefix.length > TINY.refetch_limit:
        requests += [RangeRequest(prefix.length, overlap=TINY.overlap(prefix.length))]
    if prefix.length >= TINY.probe_from:
        requests += [RangeRequest(prefix.length, probe=TINY.size)]
    return requests


@st.composite
def exchanges(draw):
    """Any response, or one that is nearly right: these reach the rows that matter."""
    prefix = draw(PREFIXES)
    request = draw(st.sampled_from(possible_requests(prefix)))
    head = draw(ANY_RESPONSES)
    if draw(st.booleans()):
        total = draw(st.sampled_from([prefix.total or 250, 250]))
        last = request.probe - 1 if request.probe else total - 1
        right = {"content-range": f"bytes {request.first}-{last}/{total}"}
        head = ResponseHead(206, draw(st.sampled_from([right, head.headers | right])))
    return Exchange(request, prefix, head, NOW, TINY)


@given(exchanges())
def test_every_response_gets_the_verdict_of_the_first_row_that_holds(exchange):
    holding = [row for row in HEAD.rows if row.holds(exchange)]
    verdict = judge(exchange.request, exchange.prefix, exchange.head, now=NOW, windows=TINY)
    assert str(HEAD.row(exchange).outcome.decide(exchange)) == str(verdict)
    assert holding[0] is HEAD.row(exchange)
    assert isinstance(verdict, Append | RequestAgain | Compare | Complete | Reject | Restart)


@given(exchanges())
def test_each_further_request_has_a_lower_strength(exchange):
    match HEAD.decide(exchange):
        case RequestAgain(request=better) | Compare(then=better):
            assert better.strength < exchange.request.strength
            assert better in possible_requests(exchange.prefix)


@given(exchanges())
def test_bytes_are_only_appended_where_they_belong(exchange):
    request, prefix, head = exchange.request, exchange.prefix, exchange.head
    verdict = HEAD.decide(exchange)
    if not isinstance(verdict, Append):
        return
    assert head.status == 206
    assert verdict.offset == request.offset == prefix.length > 0
    assert verdict.overlap == request.overlap
    unit, _, rest = head.headers["content-range"].strip().partition(" ")
    span, _, size = rest.partition("/")
    first, last = map(int, span.split("-"))
    assert unit == "bytes"
    assert first == verdict.offset - verdict.overlap
    assert last >= verdict.offset - 1
    if size != "*":
        assert last < int(size)
        assert prefix.total in (None, int(size))
        assert verdict.total == int(size)
    else:
        assert verdict.total == prefix.total
    theirs = head.headers.get("etag", "")
    validated = prefix.same_url and theirs and theirs == prefix.etag and is_strong(theirs)
    assert validated or verdict.overlap > 0, "a validator or a comparison is needed"
    if prefix.same_url and theirs and prefix.etag:
        assert theirs.removeprefix("W/") == prefix.etag.removeprefix("W/")
    assert "multipart" not in head.headers.get("content-type", "")
    assert head.headers.get("content-encoding", "") in ("", "identity")


@given(exchanges())
def test_only_bytes_on_disk_are_compared(exchange):
    verdict = HEAD.decide(exchange)
    if isinstance(verdict, Compare):
        assert 0 < verdict.length <= exchange.prefix.length
        assert verdict.then.overlap <= exchange.prefix.length // 4


@given(exchanges())
def test_only_transient_failures_lead_to_another_attempt(exchange):
    verdict = HEAD.decide(exchange)
    if not isinstance(verdict, Reject):
        return
    status = exchange.head.status
    waits = status in (408, 425, 429) or 500 <= status < 600
    assert verdict.error.transient == (waits or status == 206)
    assert verdict.error.retry_after is None or waits or status == 206


@given(PREFIXES, st.lists(ANY_RESPONSES, min_size=5, max_size=5))
def test_an_attempt_never_needs_more_than_five_requests(prefix, heads):
    request = plan(prefix, TINY)
    for head in heads:
        if isinstance(request, Complete):
            return
        verdict = judge(request, prefix, head, now=NOW, windows=TINY)
        match verdict:
            case RequestAgain(request=better) | Compare(then=better):
                request = better
            case Append(overlap=overlap) if overlap:
                request = difference(0, b"a", b"b").request
            case _:
                return
    pytest.fail("a sixth request would be sent")


@given(PREFIXES, ANY_RESPONSES)
def test_a_request_for_the_whole_object_is_never_repeated(prefix, head):
    verdict = judge(RangeRequest(), prefix, head, now=NOW)
    assert isinstance(verdict, Restart | Reject)
    assert not isinstance(verdict, Restart) or head.status == 200


@given(PREFIXES)
def test_a_plan_requests_the_missing_bytes(prefix):
    match plan(prefix, TINY):
        case Complete():
            assert prefix.length == prefix.total > 0
        case RangeRequest() as request:
            assert request in possible_requests(prefix) or request.if_range == prefix.etag
            assert prefix.total is None or request.offset <= prefix.total
            if request.if_range is not None:
                assert prefix.same_url
                assert is_strong(request.if_range)
            elif request.offset:
                assert request.overlap or request.probe, "without a validator bytes are compared"


@given(st.integers(1, 10**12), st.booleans())
def test_the_compared_bytes_are_bounded(length, same_url):
    request = plan(Prefix(length, etag='W/"a"', same_url=same_url))
    head = {"content-range": f"bytes 0-{64 * K - 1}/{length + 5}"}
    verdict = HEAD.decide(Exchange(request, Prefix(length), ResponseHead(206, head), NOW))
    then = verdict.then if request.probe else request
    compared = request.probe + then.overlap
    assert compared <= min(2 * WINDOWS.size, length // 2)
    assert compared > 0 or request == RangeRequest()


@given(st.binary(max_size=30), st.binary(max_size=30), st.integers(0, 10**9))
def test_a_comparison_succeeds_only_if_all_bytes_are_equal(mine, theirs, first):
    mismatch = difference(first, mine, theirs)
    assert (mismatch is None) == (mine == theirs)
    if mismatch is not None:
        assert mismatch.request == RangeRequest()
        if match := re.search(r"byte (\d+)", mismatch.why):
            at = int(match[1]) - first
            assert mine[:at] == theirs[:at]
            assert mine[at : at + 1] != theirs[at : at + 1]
