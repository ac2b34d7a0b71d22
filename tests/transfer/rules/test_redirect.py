"""Targets of redirects, and redirects that are refused."""

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.transfer.rules.redirect import REDIRECT_LIMIT, STATUSES, Hop, follow

BASE = "http://user:secret@a.example/dir/file#part"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://b.example/x", "http://b.example/x"),
        ("//b.example/x", "http://b.example/x"),
        ("/x?y", "http://user:secret@a.example/x?y"),
        ("other", "http://user:secret@a.example/dir/other"),
        ("?q", "http://user:secret@a.example/dir/file?q"),
        (" http://b.example/x ", "http://b.example/x"),
        ("https://u:p@b.example/", "https://u:p@b.example/"),
    ],
)
def test_targets(location, expected):
    assert follow(BASE, {"location": location}, hops=0, secure_only=False) == expected


@pytest.mark.parametrize(
    ("headers", "hops"),
    [
        ({}, 0),
        ({"location": "http://b.example/"}, REDIRECT_LIMIT),
        ({"location": "ftp://b.example/"}, 0),
        ({"location": "file:///etc/passwd"}, 0),
        ({"location": "http://[::1/"}, 0),
        ({"location": "http://b.example:99999/"}, 0),
        ({"location": "http://b.example/a b"}, 0),
    ],
)
def test_redirects_that_cannot_be_followed(headers, hops):
    with pytest.raises(OriginError) as caught:
        follow(BASE, headers, hops=hops, secure_only=False)
    assert caught.value.code is FailureCode.REDIRECT
    assert not caught.value.transient


def test_which_statuses_redirect():
    assert [status for status in range(300, 400) if status in STATUSES] == [301, 302, 303, 307, 308]


def test_the_target_without_a_location_is_the_url_itself():
    assert Hop("http://a.example/x#y", None, 0, secure_only=False).target == "http://a.example/x"


@pytest.mark.parametrize(
    ("location", "hops", "sentence"),
    [
        (None, 0, "redirect: the origin redirects without a Location. Use"),
        (
            "http://u:secret@b.example/",
            REDIRECT_LIMIT,
            "redirect: the origin redirects more than 10 times (last target http://b.example/). ",
        ),
        (
            "ftp://b.example/",
            0,
            "redirect: the origin redirects to an address that cannot be fetched: `url`",
        ),
        (
            "http://u:secret@b.example/",
            0,
            (
                'policy: the origin redirects from https to http, which [fetch] tls = "strict" '
                "forbids (target http://b.example/). Add"
            ),
        ),
    ],
)
def test_the_sentence_of_a_refusal(location, hops, sentence):
    headers = {} if location is None else {"location": location}
    with pytest.raises(OriginError) as caught:
        follow("https://a.example/", headers, hops=hops, secure_only=True)
    assert caught.value.sentence().startswith(sentence)
    assert caught.value.transient is False


def test_the_tenth_redirect_is_followed():
    follow(BASE, {"location": "/x"}, hops=REDIRECT_LIMIT - 1, secure_only=False)


def test_a_loop_shows_no_credentials():
    with pytest.raises(OriginError) as caught:
        follow(BASE, {"location": BASE}, hops=REDIRECT_LIMIT, secure_only=False)
    assert "secret" not in caught.value.sentence()


@pytest.mark.parametrize(
    ("url", "location", "allowed"),
    [
        ("https://a.example/", "http://a.example/x", False),
        ("https://a.example/", "https://b.example/", True),
        ("https://a.example/", "/x", True),
        ("http://a.example/", "http://b.example/", True),
        ("http://a.example/", "https://b.example/", True),
        ("HTTPS://a.example/", "HTTP://b.example/", False),
    ],
)
def test_strict_never_goes_down_to_http(url, location, allowed):
    if allowed:
        assert follow(url, {"location": location}, hops=0, secure_only=True)
        return
    with pytest.raises(OriginError) as caught:
        follow(url, {"location": location}, hops=0, secure_only=True)
    assert caught.value.code is FailureCode.POLICY
    assert follow(url, {"location": location}, hops=0, secure_only=False)
