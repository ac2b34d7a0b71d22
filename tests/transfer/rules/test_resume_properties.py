"""What holds for every reply to every ask, whatever the origin makes up."""

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
KEPTS = st.builds(
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
ANY_REPLIES = st.builds(ResponseHead, STATUSES, HEADERS)


def proofs(prefix):
    """Every ask that can ever be made with so much kept."""
    asks = [RangeRequest()]
    if prefix.length:
        asks += [RangeRequest(prefix.length), RangeRequest(prefix.length, '"a"')]
    if prefix.length > TINY.least:
        asks += [RangeRequest(prefix.length, overlap=TINY.overlap(prefix.length))]
    if prefix.length >= TINY.probe_from:
        asks += [RangeRequest(prefix.length, probe=TINY.size)]
    return asks


@st.composite
def exchanges(draw):
    """Any reply, or one that is nearly right: those reach the rows that matter."""
    prefix = draw(KEPTS)
    request = draw(st.sampled_from(proofs(prefix)))
    head = draw(ANY_REPLIES)
    if draw(st.booleans()):
        total = draw(st.sampled_from([prefix.total or 250, 250]))
        last = request.probe - 1 if request.probe else total - 1
        wanted = {"content-range": f"bytes {request.first}-{last}/{total}"}
        head = ResponseHead(206, draw(st.sampled_from([wanted, head.headers | wanted])))
    return Exchange(request, prefix, head, NOW, TINY)


@given(exchanges())
def test_every_reply_has_one_verdict_and_it_is_that_of_the_first_row_that_holds(seen):
    holding = [row for row in HEAD.rows if row.holds(seen)]
    verdict = judge(seen.request, seen.prefix, seen.head, now=NOW, windows=TINY)
    assert str(HEAD.row(seen).outcome.decide(seen)) == str(verdict)
    assert holding[0] is HEAD.row(seen)
    assert isinstance(verdict, Append | RequestAgain | Compare | Complete | Reject | Restart)


@given(exchanges())
def test_another_ask_takes_less_for_granted(seen):
    match HEAD.decide(seen):
        case RequestAgain(request=better) | Compare(then=better):
            assert better.strength < seen.request.strength
            assert better in proofs(seen.prefix)


@given(exchanges())
def test_bytes_are_only_appended_where_they_belong(seen):
    request, prefix, head = seen.request, seen.prefix, seen.head
    verdict = HEAD.decide(seen)
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
    vouched = prefix.same_url and theirs and theirs == prefix.etag and is_strong(theirs)
    assert vouched or verdict.overlap > 0, "either a validator vouches for it or the bytes do"
    if prefix.same_url and theirs and prefix.etag:
        assert theirs.removeprefix("W/") == prefix.etag.removeprefix("W/")
    assert "multipart" not in head.headers.get("content-type", "")
    assert head.headers.get("content-encoding", "") in ("", "identity")


@given(exchanges())
def test_bytes_are_only_compared_where_they_are_here(seen):
    verdict = HEAD.decide(seen)
    if isinstance(verdict, Compare):
        assert 0 < verdict.length <= seen.prefix.length
        assert verdict.then.overlap <= seen.prefix.length // 4


@given(exchanges())
def test_what_fails_for_good_is_never_worth_another_attempt(seen):
    verdict = HEAD.decide(seen)
    if not isinstance(verdict, Reject):
        return
    status = seen.head.status
    waits = status in (408, 425, 429) or 500 <= status < 600
    assert verdict.error.transient == (waits or status == 206)
    assert verdict.error.retry_after is None or waits or status == 206


@given(KEPTS, st.lists(ANY_REPLIES, min_size=5, max_size=5))
def test_an_attempt_never_needs_more_than_five_requests(prefix, replies):
    request = plan(prefix, TINY)
    for head in replies:
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


@given(KEPTS, ANY_REPLIES)
def test_who_asks_for_everything_is_never_sent_back(prefix, head):
    verdict = judge(RangeRequest(), prefix, head, now=NOW)
    assert isinstance(verdict, Restart | Reject)
    assert not isinstance(verdict, Restart) or head.status == 200


@given(KEPTS)
def test_a_plan_asks_for_what_is_missing(prefix):
    match plan(prefix, TINY):
        case Complete():
            assert prefix.length == prefix.total > 0
        case RangeRequest() as request:
            assert request in proofs(prefix) or request.if_range == prefix.etag
            assert prefix.total is None or request.offset <= prefix.total
            if request.if_range is not None:
                assert prefix.same_url
                assert is_strong(request.if_range)
            elif request.offset:
                assert request.overlap or request.probe, "no validator: the bytes have to vouch"


@given(st.integers(1, 10**12), st.booleans())
def test_what_is_compared_is_bounded(length, same_url):
    request = plan(Prefix(length, etag='W/"a"', same_url=same_url))
    head = {"content-range": f"bytes 0-{64 * K - 1}/{length + 5}"}
    found = HEAD.decide(Exchange(request, Prefix(length), ResponseHead(206, head), NOW))
    then = found.then if request.probe else request
    compared = request.probe + then.overlap
    assert compared <= min(2 * WINDOWS.size, length // 2)
    assert compared > 0 or request == RangeRequest()


@given(st.binary(max_size=30), st.binary(max_size=30), st.integers(0, 10**9))
def test_a_comparison_speaks_for_one_object_only_if_all_bytes_are_equal(mine, theirs, first):
    found = difference(first, mine, theirs)
    assert (found is None) == (mine == theirs)
    if found is not None:
        assert found.request == RangeRequest()
        if named := re.search(r"byte (\d+)", found.why):
            at = int(named[1]) - first
            assert mine[:at] == theirs[:at]
            assert mine[at : at + 1] != theirs[at : at + 1]
