"""What holds for every reply to every ask, whatever the origin makes up."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Kept, length=SIZES | st.integers(30, 200), total=st.none() | SIZES, etag=ETAGS,
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
ANY_REPLIES = st.builds(Reply, STATUSES, HEADERS)


def proofs(kept):
    """Every ask that can ever be made with so much kept."""
    asks = [Ask()]
    if kept.length:
        asks += [Ask(kept.length), Ask(kept.length, '"a"')]
    if kept.length > TINY.least:
        asks += [Ask(kept.length, overlap=TINY.overlap(kept.length))]
    if kept.length >= TINY.probe_from:
        asks += [Ask(kept.length, probe=TINY.size)]
    return asks


@st.composite
def exchanges(draw):
    """Any reply, or one that is nearly right: those reach the rows that matter."""
    kept = draw(KEPTS)
    ask = draw(st.sampled_from(proofs(kept)))
    reply = draw(ANY_REPLIES)
    if draw(st.booleans()):
        total = draw(st.sampled_from([kept.total or 250, 250]))
        last = ask.probe - 1 if ask.probe else total - 1
        wanted = {"content-range": f"bytes {ask.first}-{last}/{total}"}
        reply = Reply(206, draw(st.sampled_from([wanted, reply.headers | wanted])))
    return Exchange(ask, kept, reply, NOW, TINY)


@given(exchanges())
def test_every_reply_has_one_verdict_and_it_is_that_of_the_first_row_that_holds(seen):
    holding = [row for row in HEAD.rows if row.holds(seen)]
    verdict = judge(seen.ask, seen.kept, seen.reply, now=NOW, windows=TINY)
    assert str(HEAD.row(seen).outcome.of(seen)) == str(verdict)
    assert holding[0] is HEAD.row(seen)
    assert isinstance(verdict, Append | AskAgain | Compare | Complete | Reject | StartOver)


@given(exchanges())
def test_another_ask_takes_less_for_granted(seen):
    match HEAD.decide(seen):
        case AskAgain(ask=better) | Compare(then=better):
            assert better.strength < seen.ask.strength
            assert better in proofs(seen.kept)


@given(exchanges())
def test_bytes_are_only_appended_where_they_belong(seen):
    ask, kept, reply = seen.ask, seen.kept, seen.reply
    verdict = HEAD.decide(seen)
    if not isinstance(verdict, Append):
        return
    assert reply.status == 206
    assert verdict.offset == ask.offset == kept.length > 0
    assert verdict.overlap == ask.overlap
    unit, _, rest = reply.headers["content-range"].strip().partition(" ")
    span, _, size = rest.partition("/")
    first, last = map(int, span.split("-"))
    assert unit == "bytes"
    assert first == verdict.offset - verdict.overlap
    assert last >= verdict.offset - 1
    if size != "*":
        assert last < int(size)
        assert kept.total in (None, int(size))
        assert verdict.total == int(size)
    else:
        assert verdict.total == kept.total
    theirs = reply.headers.get("etag", "")
    vouched = kept.same_url and theirs and theirs == kept.etag and is_strong(theirs)
    assert vouched or verdict.overlap > 0, "either a validator vouches for it or the bytes do"
    if kept.same_url and theirs and kept.etag:
        assert theirs.removeprefix("W/") == kept.etag.removeprefix("W/")
    assert "multipart" not in reply.headers.get("content-type", "")
    assert reply.headers.get("content-encoding", "") in ("", "identity")


@given(exchanges())
def test_bytes_are_only_compared_where_they_are_here(seen):
    verdict = HEAD.decide(seen)
    if isinstance(verdict, Compare):
        assert 0 < verdict.length <= seen.kept.length
        assert verdict.then.overlap <= seen.kept.length // 4


@given(exchanges())
def test_what_fails_for_good_is_never_worth_another_attempt(seen):
    verdict = HEAD.decide(seen)
    if not isinstance(verdict, Reject):
        return
    status = seen.reply.status
    waits = status in (408, 425, 429) or 500 <= status < 600
    assert verdict.error.transient == (waits or status == 206)
    assert verdict.error.retry_after is None or waits or status == 206


@given(KEPTS, st.lists(ANY_REPLIES, min_size=5, max_size=5))
def test_an_attempt_never_needs_more_than_five_requests(kept, replies):
    ask = plan(kept, TINY)
    for reply in replies:
        if isinstance(ask, Complete):
            return
        verdict = judge(ask, kept, reply, now=NOW, windows=TINY)
        match verdict:
            case AskAgain(ask=better) | Compare(then=better):
                ask = better
            case Append(overlap=overlap) if overlap:
                ask = difference(0, b"a", b"b").ask
            case _:
                return
    pytest.fail("a sixth request would be sent")


@given(KEPTS, ANY_REPLIES)
def test_who_asks_for_everything_is_never_sent_back(kept, reply):
    verdict = judge(Ask(), kept, reply, now=NOW)
    assert isinstance(verdict, StartOver | Reject)
    assert not isinstance(verdict, StartOver) or reply.status == 200


@given(KEPTS)
def test_a_plan_asks_for_what_is_missing(kept):
    match plan(kept, TINY):
        case Complete():
            assert kept.length == kept.total > 0
        case Ask() as ask:
            assert ask in proofs(kept) or ask.if_range == kept.etag
            assert kept.total is None or ask.offset <= kept.total
            if ask.if_range is not None:
                assert kept.same_url
                assert is_strong(ask.if_range)
            elif ask.offset:
                assert ask.overlap or ask.probe, "no validator: the bytes have to vouch"


@given(st.integers(1, 10**12), st.booleans())
def test_what_is_compared_is_bounded(length, same_url):
    ask = plan(Kept(length, etag='W/"a"', same_url=same_url))
    head = {"content-range": f"bytes 0-{64 * K - 1}/{length + 5}"}
    found = HEAD.decide(Exchange(ask, Kept(length), Reply(206, head), NOW))
    then = found.then if ask.probe else ask
    compared = ask.probe + then.overlap
    assert compared <= min(2 * WINDOWS.size, length // 2)
    assert compared > 0 or ask == Ask()


@given(st.binary(max_size=30), st.binary(max_size=30), st.integers(0, 10**9))
def test_a_comparison_speaks_for_one_object_only_if_all_bytes_are_equal(mine, theirs, first):
    found = difference(first, mine, theirs)
    assert (found is None) == (mine == theirs)
    if found is not None:
        assert found.ask == Ask()
        if named := re.search(r"byte (\d+)", found.why):
            at = int(named[1]) - first
            assert mine[:at] == theirs[:at]
            assert mine[at : at + 1] != theirs[at : at + 1]
