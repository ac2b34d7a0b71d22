"""Accepted URLs, their displayed parts, and their credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.errors import InvalidRequestBodyError
from spsd.transfer.rules.url import (
    MIRROR_LIMIT,
    URL_LIMIT,
    authority,
    authorization,
    distinct_mirrors,
    parse_source_url,
    redacted,
    same_origin,
    with_credentials_of,
    without_credentials,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://a.example/x.iso",
        "HTTP://A.example/x.iso",
        "http://a.example:8080/x?y=%20#z",
        "http://user:pass@a.example/",
        "http://10.0.0.1/",
        "http://[2001:db8::1]:80/",
        "http://bücher.example/ü",
        "http://a.example./",
        "http://a/" + "x" * (URL_LIMIT - 9),
    ],
)
def test_good_urls_are_given_back_as_they_came(url):
    assert parse_source_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "//a/x",
        "ftp://a/x",
        "file:///etc/passwd",
        "http:",
        "http://",
        "http:///x",
        "http://:80/",
        "http://user@/",
        "http://a:x/",
        "http://a:65536/",
        "http://[::1/",
        "http://[zz]/",
        "http://a b/",
        "http://a/x y",
        "http://a/\r\nHost: b",
        "http://a/\x00",
        "http://a/\x7f",
        "http://a..b/",
        "http://" + "a" * 64 + ".example/",
        "http://a/\ud800",
        "http://a/" + "x" * URL_LIMIT,
    ],
)
def test_bad_urls_are_refused_and_the_field_is_named(url):
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_source_url(url, field="where")
    assert caught.value.details == {"field": "where"}
    assert str(caught.value).startswith("`where` ")


@given(st.text() | st.text().map("http://".__add__))
def test_any_text_is_a_url_or_refused(text):
    try:
        assert parse_source_url(text) == text
    except InvalidRequestBodyError:
        return
    assert without_credentials(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/x?y#z", "http://a/x?y#z"),
        ("http://u:p@a:80/x?y@z", "http://a:80/x?y@z"),
        ("http://u:p@q@a/x", "http://a/x"),
        ("http://a/x@y", "http://a/x@y"),
    ],
)
def test_credentials_are_not_shown(url, shown):
    assert without_credentials(url) == shown


USERINFO = st.text(st.sampled_from("abc:%40@!$&'()*+,;=-._~"), min_size=1)
REST = st.sampled_from(["", "/", "/a/b@c", "?q=a@b/c", "#f@g", "/a?b#c", "/?//u:p@x"])


@given(USERINFO, st.sampled_from(["h.example", "127.0.0.1:80", "[::1]:8080"]), REST)
def test_credentials_are_taken_out_and_nothing_else(userinfo, host, rest):
    url = f"http://{userinfo}@{host}{rest}"
    parse_source_url(url)
    assert without_credentials(url) == f"http://{host}{rest}"
    assert redacted(url) == f"http://{host}{rest}".split("?")[0].split("#")[0]
    assert with_credentials_of(url, without_credentials(url)) == url
    assert authorization(without_credentials(url)) is None
    if userinfo != ":":
        assert authorization(url) is not None


@pytest.mark.parametrize(
    "url",
    ["http://u:word@h\u2100st/", "http://u:wo/word@h/", "http://u:word@[::1/"],
)
def test_the_problem_of_a_url_contains_no_secret(url):
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_source_url(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://a/" + "x" * (URL_LIMIT - 8), "is longer than 8192 bytes"),
        ("http://a/" + "ü" * (URL_LIMIT // 2), "is longer than 8192 bytes"),
        ("http://a/ ", "contains a space or a control character; write it percent-encoded"),
        ("http://[::1/", "is no valid URL"),
        ("http://a/\ud800", "is no valid URL"),
        ("http://a:65536/", "is no valid URL: its port is no number up to 65535"),
        ("ftp://a/", "must begin with http:// or https://, not ftp"),
        ("//a/", "must begin with http:// or https://, not nothing"),
        ("http:///x", "names no host"),
        ("http://./x", "has a host name that cannot be looked up: "),
        ("http://a..b/", "has a host name that cannot be looked up: "),
    ],
)
def test_the_problem_of_a_url(url, problem):
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_source_url(url)
    assert str(caught.value).startswith(f"`url` {problem}")
    assert str(caught.value).endswith(".")
    assert caught.value.details == {"field": "url"}


@pytest.mark.parametrize(
    "url",
    ["http://[2001:db8::" + "f" * 4 + "]/", "http://" + "a" * 63 + ".example./", "http://a:0/"],
)
def test_accepted_urls(url):
    assert parse_source_url(url) == url


def test_how_many_mirrors_a_request_may_name():
    assert (MIRROR_LIMIT, URL_LIMIT) == (16, 8192)


def test_mirrors_are_taken_once_and_never_the_url_itself():
    assert distinct_mirrors("u", ["b", "u", "a", "b"]) == ("b", "a")


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("http://a/x", "http://A:80/y", True),
        ("https://a/x", "https://u:p@a:443/", True),
        ("http://a/", "https://a/", False),
        ("http://a:443/", "https://a/", False),
        ("http://a/", "http://a:81/", False),
        ("https://a/", "https://a:80/", False),
        ("http://a/", "http://b/", False),
    ],
)
def test_which_origins_are_the_same(url, other, same):
    assert same_origin(url, other) is same


@pytest.mark.parametrize(
    ("url", "value"),
    [
        ("http://u:p@a/", "Basic dTpw"),
        ("http://u@a/", "Basic dTo="),
        ("http://:p@a/", "Basic OnA="),
        ("http://u:p:q@a/", "Basic dTpwOnE="),
        ("http://%C3%BC:%3A@a/", "Basic w7w6Og=="),
        ("http://:@a/", None),
        ("http://@a/", None),
        ("http://X:p@aX/X", "Basic WDpw"),
        ("http://a/", None),
        ("http://a/u:p@b", None),
        ("http://a?u:p@b", None),
        ("http://a#u:p@b", None),
        ("http://p@q:r@a/", "Basic cEBxOnI="),
    ],
)
def test_credentials_as_basic(url, value):
    assert authorization(url) == value


@pytest.mark.parametrize(
    ("source", "url", "expected"),
    [
        ("http://u:p@a/x", "http://b/y?z", "http://u:p@b/y?z"),
        ("http://u:p@a/x", "http://v@b/y", "http://v@b/y"),
        ("http://u:p@a/x", "http://b/y@z", "http://u:p@b/y@z"),
        ("http://a/x@y", "http://b/", "http://b/"),
        ("http://p@q:r@a/", "http://b//c", "http://p@q:r@b//c"),
    ],
)
def test_credentials_are_copied_to_a_url_without_its_own(source, url, expected):
    assert with_credentials_of(source, url) == expected


@pytest.mark.parametrize(
    ("url", "shown", "logged", "host"),
    [
        ("http://u:p@a:80/x//y?q#f", "http://a:80/x//y?q#f", "http://a:80/x//y", "a:80"),
        ("http://p@q@a#f?q", "http://a#f?q", "http://a", "a"),
        ("http://a?q?r", "http://a?q?r", "http://a", "a"),
    ],
)
def test_the_displayed_parts_of_a_url(url, shown, logged, host):
    assert (without_credentials(url), redacted(url), authority(url)) == (shown, logged, host)
