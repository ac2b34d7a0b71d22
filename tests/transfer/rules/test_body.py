"""The tables for bodies, digests and redirects: a case for each row, and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.failures import EXPLANATIONS, FailureCode
from spsd.transfer.rules.body import (
    BODY,
    DIGEST,
    OPENING,
    PAGE_BYTES,
    Finished,
    Opening,
    Received,
    bytes_within,
    is_web_page,
    judge_body,
    judge_digest,
    judge_opening,
)
from spsd.transfer.rules.redirect import REDIRECT_LIMIT, REDIRECTS, Hop

PAGE = b"\xef\xbb\xbf \r\n<!DOCTYPE html>\n<title>log in</title>"
IMAGE = bytes(512)
OCTETS = "application/octet-stream"
A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("media_type", "beginning", "expected"),
    [
        ("text/html", b"please log in", True),
        ("application/xhtml+xml", b"<?xml version='1.0'?>", True),
        ("text/html", b"", True),
        (OCTETS, PAGE, True),
        ("", b"<html>", True),
        ("", b"<HTML lang=en>", True),
        ("", b"<!doctype   HTML>", True),
        ("text/html", IMAGE, False),
        ("text/html", b"<html>\0", False),
        (OCTETS, b"", False),
        (OCTETS, b"<htmlish>", False),
        (OCTETS, b"an image <html>", False),
        ("text/plain", b"<?xml?>", False),
        ("text/html", b" " * (PAGE_BYTES - 1) + b"\0", False),
        ("text/html", b" " * PAGE_BYTES + b"\0", True),
        ("", b" " * (PAGE_BYTES - 6) + b"<html>", True),
        ("", b" " * (PAGE_BYTES - 5) + b"<html>", False),
    ],
)
def test_which_bodies_are_web_pages(media_type, beginning, expected):
    assert is_web_page(media_type, beginning) is expected


OPENINGS = {
    "page-over-bytes": (Opening("text/html", b"<form>", 5), FailureCode.PORTAL),
    "first-bytes": (Opening("text/html", IMAGE, 5), None),
}
BODIES = {
    "no-room": (Received(100, None, 99), FailureCode.DISK_FULL),
    "under-way": (Received(5, 10, 99), None),
    "too-short": (Received(5, 10, 99, ended=True), FailureCode.CUT_OFF),
    "ended": (Received(10, 10, 99, ended=True), None),
}
DIGESTS = {
    "verified": (Finished(A, A, 5, True, 1, "text/html", PAGE), None),
    "mixed": (Finished(A, B, 5, True, 1, "", PAGE), FailureCode.DIGEST),
    "surplus": (Finished(A, B, 5, False, 1, OCTETS, IMAGE, surplus=True), FailureCode.TOO_LONG),
    "page": (Finished(A, B, 5, False, 1, "", PAGE), FailureCode.PORTAL),
    "wrong": (Finished(A, B, 5, True, 0, OCTETS, IMAGE), FailureCode.DIGEST),
}


def hop(url, location, hops=0, secure_only=True):
    return Hop(url, location, hops, secure_only)


HTTPS = "https://u:p@a.example/x"
HOPS = {
    "no-location": (hop(HTTPS, None), FailureCode.REDIRECT),
    "unusable": (hop(HTTPS, "ftp://a/"), FailureCode.REDIRECT),
    "too-many": (hop(HTTPS, "/x", REDIRECT_LIMIT), FailureCode.REDIRECT),
    "down-to-http": (hop(HTTPS, "http://a.example/x"), FailureCode.POLICY),
    "same-origin": (hop(HTTPS, "/y"), "https://u:p@a.example/y"),
    "elsewhere": (hop(HTTPS, "https://b.example/y"), "https://b.example/y"),
}
CASES = [
    (table, name, *case)
    for table, cases in [
        (OPENING, OPENINGS),
        (BODY, BODIES),
        (DIGEST, DIGESTS),
        (REDIRECTS, HOPS),
    ]
    for name, case in cases.items()
]


@pytest.mark.parametrize(("table", "name", "value", "expected"), CASES, ids=lambda v: str(v)[:30])
def test_row(table, name, value, expected):
    assert table.row(value).name == name
    verdict = table.decide(value)
    assert verdict == expected or verdict.code is expected


def test_every_row_is_reached():
    for table in (OPENING, BODY, DIGEST, REDIRECTS):
        assert [row.name for row in table.rows] == [n for t, n, _, _ in CASES if t is table]


def test_the_edges():
    assert PAGE_BYTES == 4096
    assert judge_opening(Opening("text/html", b"<form>", 1)) is not None
    assert judge_body(Received(99, None, 99)) is None
    by_media_type = judge_digest(Finished(A, B, 5, False, 1, "text/html", b"log in"))
    assert by_media_type is not None
    assert by_media_type.code is FailureCode.PORTAL


WRONG = f"expected {A}, computed {B}, bytes 5, tls none"


@pytest.mark.parametrize(
    ("error", "sentence", "transient"),
    [
        (
            judge_opening(Opening("text/html", PAGE, 5)),
            (
                "portal: the origin sent a web page instead of an image "
                "(content type text/html, bytes on disk 5). "
            ),
            False,
        ),
        (
            judge_opening(Opening("", PAGE, 5)),
            (
                "portal: the origin sent a web page instead of an image "
                "(content type none, bytes on disk 5). "
            ),
            False,
        ),
        (
            judge_body(Received(100, None, 99)),
            "disk_full: the disk is full, and the image has not ended (bytes 100). ",
            False,
        ),
        (
            judge_body(Received(5, 10, 99, ended=True)),
            "cut_off: the origin closed the connection before the end (bytes 5, of 10). ",
            True,
        ),
        (
            judge_digest(Finished(A, B, 5, True, 1, "", IMAGE, notes={"tls": "none"})),
            f"digest: the image does not have the requested SHA-256 ({WRONG}). ",
            True,
        ),
        (
            judge_digest(
                Finished(A, B, 5, False, 0, "", IMAGE, surplus=True, notes={"tls": "none"})
            ),
            (
                "too_long: the origin sent more bytes than it announced, and the announced bytes "
                f"are not the image ({WRONG}). "
            ),
            False,
        ),
        (
            judge_digest(Finished(A, B, 5, False, 0, "text/html", PAGE, notes={"tls": "none"})),
            (
                "portal: the origin sent a web page instead of an image "
                f"(content type text/html, {WRONG}). "
            ),
            False,
        ),
        (
            judge_digest(Finished(A, B, 5, False, 0, "", PAGE, notes={"tls": "none"})),
            (
                "portal: the origin sent a web page instead of an image "
                f"(content type none, {WRONG}). "
            ),
            False,
        ),
    ],
)
def test_the_whole_sentence(error, sentence, transient):
    assert error.sentence() == sentence + EXPLANATIONS[error.code].advice
    assert error.transient is transient


LENGTHS = st.integers(0, 40)


@given(st.builds(Received, LENGTHS, st.none() | LENGTHS, LENGTHS, st.booleans()))
def test_a_body_is_accepted_only_if_it_fits_the_disk_and_its_stated_length(received):
    error = judge_body(received)
    fits = received.length <= received.disk_limit
    known = received.total
    if error is None:
        assert fits
        assert not received.ended or known is None or known <= received.length
    else:
        assert error.transient == (error.code is FailureCode.CUT_OFF)


@given(LENGTHS, LENGTHS, st.none() | LENGTHS)
def test_no_byte_past_the_stated_total_is_accepted(length, size, total):
    accepted = bytes_within(length, size, total)
    assert 0 <= accepted <= size
    if total is None or length + size <= total:
        assert accepted == size
    else:
        assert length + accepted == max(length, total)


@given(
    st.builds(
        Finished,
        expected=st.just(A),
        computed=st.sampled_from([A, B]),
        length=LENGTHS,
        mixed=st.booleans(),
        clean_retries=st.integers(-2, 1),
        media_type=st.sampled_from(["", OCTETS, "text/html"]),
        beginning=st.sampled_from([PAGE, IMAGE, b""]),
    )
)
def test_only_the_digest_accepts_bytes_and_a_wrong_one_is_retried_once(finished):
    error = judge_digest(finished)
    assert (error is None) == (finished.computed == finished.expected)
    if error is not None:
        assert error.transient == (finished.mixed and finished.clean_retries == 1)
        assert B in error.sentence()


@given(st.sampled_from(["", "text/html"]), st.binary(max_size=20), st.booleans())
def test_a_web_page_never_replaces_bytes_but_may_fill_an_empty_partial(media_type, text, doctype):
    beginning = (PAGE if doctype else b"") + text
    assert judge_opening(Opening(media_type, beginning, 0)) is None
    error = judge_opening(Opening(media_type, beginning, 9))
    assert (error is not None) == is_web_page(media_type, beginning)
    if error is not None:
        assert not error.transient
