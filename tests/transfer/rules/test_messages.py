"""The values of resuming a download, each with a table of edge cases."""

import pytest

from spsd.transfer.rules.messages import (
    Exchange,
    Prefix,
    RangeRequest,
    ResponseHead,
    Restart,
    Span,
    ValidatorMatch,
    Windows,
    is_strong,
)

K = 1024


def test_an_empty_prefix_has_no_validator():
    assert Prefix() == Prefix(length=0, total=None, etag=None, same_url=True)
    assert Prefix().validator is None


@pytest.mark.parametrize(
    ("prefix", "validator"),
    [
        (Prefix(1, etag='"a"'), '"a"'),
        (Prefix(1, etag='W/"a"'), None),
        (Prefix(1, etag='"a"', same_url=False), None),
        (Prefix(1), None),
    ],
)
def test_a_validator_is_strong_and_of_this_url(prefix, validator):
    assert prefix.validator == validator


@pytest.mark.parametrize(
    ("etag", "strong"),
    [('""', True), ('"a"', True), ('"', False), ('"a', False), ('a"', False), ('W/"a"', False)],
)
def test_a_strong_etag_is_quoted_on_both_sides(etag, strong):
    assert is_strong(etag) is strong


def test_windows_shrink_by_a_quarter_for_each_break_and_not_below_64():
    whole = Windows()
    sizes = [whole.shrunk(breaks).size for breaks in (0, 1, 2, 5, 6, 10**6)]
    assert sizes == [64 * K, 16 * K, 4 * K, 64, 64, 64]
    assert whole.shrunk(3).probe_from == whole.probe_from == 256 * K
    assert Windows(16, 64).shrunk(3) == Windows(16, 64)


@pytest.mark.parametrize(("size", "least"), [(64 * K, 4 * K), (96, 6), (80, 5), (64, 4), (16, 4)])
def test_the_length_up_to_which_bytes_are_fetched_again(size, least):
    assert Windows(size).refetch_limit == least


def test_never_more_than_a_quarter_is_compared():
    assert [Windows(10).overlap(length) for length in (3, 4, 39, 40, 99)] == [0, 1, 9, 10, 10]


def test_the_strength_of_requests():
    requests = [
        RangeRequest(),
        RangeRequest(9, overlap=2),
        RangeRequest(9, probe=2),
        RangeRequest(9),
        RangeRequest(9, '"a"'),
    ]
    assert [request.strength for request in requests] == [0, 1, 2, 3, 4]
    assert [request.first for request in requests] == [0, 7, 0, 9, 9]


@pytest.mark.parametrize(
    ("span", "possible"),
    [
        (Span(5, 5, 6), True),
        (Span(5, 6, 6), False),
        (Span(5, 7, 6), False),
        (Span(6, 5, 9), False),
        (Span(6, 5, None), False),
        (Span(5, 5, None), True),
        (Span(0, 0, 1), True),
    ],
)
def test_a_part_lies_within_its_object(span, possible):
    assert span.is_possible is possible


@pytest.mark.parametrize(
    ("text", "span", "size"),
    [
        ("bytes 5-6/7", Span(5, 6, 7), None),
        (" bytes 5-6/* ", Span(5, 6, None), None),
        ("bytes */7", None, 7),
        (" bytes */7 ", None, 7),
        ("bytes */*", None, None),
        ("items 5-6/7", None, None),
        ("bytes 5-6/7 ", Span(5, 6, 7), None),
        ("bytes 5-/7", None, None),
        ("bytes " + "1" * 19 + "-2/3", None, None),
        ("bytes */" + "1" * 18, None, int("1" * 18)),
        ("bytes */" + "1" * 19, None, None),
    ],
)
def test_a_content_range(text, span, size):
    head = ResponseHead(206, {"content-range": text})
    assert (head.span, head.complete_length) == (span, size)


@pytest.mark.parametrize(
    ("text", "length"),
    [("0", 0), ("12", 12), ("1" * 18, int("1" * 18)), ("1" * 19, None), ("-1", None), ("٣", None)],
)
def test_a_content_length(text, length):
    assert ResponseHead(200, {"content-length": text}).length == length


def test_a_response_without_header_fields():
    bare = ResponseHead(200, {})
    assert (bare.length, bare.span, bare.complete_length) == (None, None, None)
    assert (bare.coding, bare.media_type) == ("", "")


@pytest.mark.parametrize(
    ("text", "coding"), [("Identity", ""), (" identity ", ""), ("GZIP ", "gzip"), ("", "")]
)
def test_a_coding(text, coding):
    assert ResponseHead(200, {"content-encoding": text}).coding == coding


def test_a_media_type_is_without_parameters():
    head = ResponseHead(200, {"content-type": "Text/HTML ; charset=x; y=z"})
    assert head.media_type == "text/html"


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ('"a"', '"a"', ValidatorMatch.YES),
        ('"a"', ' "a" ', ValidatorMatch.YES),
        ('"a"', '"b"', ValidatorMatch.NO),
        ('"a"', 'W/"b"', ValidatorMatch.NO),
        ('W/"a"', 'W/"b"', ValidatorMatch.NO),
        ('W/"a"', 'W/"a"', ValidatorMatch.UNKNOWN),
        ('W/"a"', '"a"', ValidatorMatch.UNKNOWN),
        ('"a"', 'W/"a"', ValidatorMatch.UNKNOWN),
        ("a", "a", ValidatorMatch.UNKNOWN),
        (None, '"a"', ValidatorMatch.UNKNOWN),
        ("", '"a"', ValidatorMatch.UNKNOWN),
        ('"a"', "", ValidatorMatch.UNKNOWN),
        ('"a"', None, ValidatorMatch.UNKNOWN),
    ],
)
def test_the_comparison_of_two_etags(ours, theirs, same):
    headers = {} if theirs is None else {"etag": theirs}
    here = Exchange(RangeRequest(), Prefix(1, etag=ours), ResponseHead(200, headers), 0)
    assert here.validator_match is same
    elsewhere = Exchange(
        RangeRequest(), Prefix(1, etag=ours, same_url=False), ResponseHead(200, headers), 0
    )
    assert elsewhere.validator_match is ValidatorMatch.UNKNOWN


def test_the_reason_does_not_count_in_a_comparison():
    assert Restart(1) == Restart(1, "because")
    assert Restart(1).why == ""
