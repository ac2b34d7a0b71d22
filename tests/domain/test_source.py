"""What is told of a URL, and what of it may be used."""

import pytest

from spsd.domain.source import (
    MIRROR_LIMIT,
    URL_LIMIT,
    authority,
    authorization,
    displayed,
    distinct_mirrors,
    parse_source_url,
    same_origin,
    told,
    with_credentials_of,
)
from spsd.errors import InvalidRequestBodyError


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
def test_what_is_wrong_is_told(url, problem):
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_source_url(url)
    assert str(caught.value).startswith(f"`url` {problem}")
    assert str(caught.value).endswith(".")
    assert caught.value.details == {"field": "url"}


@pytest.mark.parametrize(
    "url",
    ["http://[2001:db8::" + "f" * 4 + "]/", "http://" + "a" * 63 + ".example./", "http://a:0/"],
)
def test_what_is_right(url):
    assert parse_source_url(url) == url


def test_how_many_mirrors_a_request_may_name():
    assert (MIRROR_LIMIT, URL_LIMIT) == (16, 8192)


def test_mirrors_are_taken_once_and_never_the_url_itself():
    assert distinct_mirrors("u", ["b", "u", "a", "b"]) == ("b", "a")


@pytest.mark.parametrize(
    ("one", "other", "same"),
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
def test_which_origins_are_the_same(one, other, same):
    assert same_origin(one, other) is same


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
def test_credentials_go_along(source, url, expected):
    assert with_credentials_of(source, url) == expected


@pytest.mark.parametrize(
    ("url", "shown", "logged", "host"),
    [
        ("http://u:p@a:80/x//y?q#f", "http://a:80/x//y?q#f", "http://a:80/x//y", "a:80"),
        ("http://p@q@a#f?q", "http://a#f?q", "http://a", "a"),
        ("http://a?q?r", "http://a?q?r", "http://a", "a"),
    ],
)
def test_what_is_shown(url, shown, logged, host):
    assert (displayed(url), told(url), authority(url)) == (shown, logged, host)
