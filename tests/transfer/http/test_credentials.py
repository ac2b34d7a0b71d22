"""Credentials are sent to the origin that they were given for, and to no other server."""

import asyncio
from base64 import b64decode
from contextlib import AsyncExitStack

import pytest

from spsd.failures import OriginError
from spsd.system.certificate import ensure_self_signed, server_context
from spsd.testing.origin import Origin, Redirect
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest

LIMITS = Limits(
    connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=5, rate_limit_bytes_per_s=0
)


async def fetched(url):
    trust = await asyncio.to_thread(Trust.for_policy, "checksum", None)
    policy = AddressPolicy(["127.0.0.0/8"])
    async with (
        open_origin(policy, trust, LIMITS) as origin,
        origin.open(url, RangeRequest()) as response,
    ):
        return response.head.status


def given(origin):
    """The credentials in each request, decoded; None for a request without any."""
    fields = [request.headers.get("authorization") for request in origin.requests]
    return [field and b64decode(field.removeprefix("Basic ")).decode() for field in fields]


@pytest.mark.parametrize(
    ("userinfo", "sent"),
    [
        ("ann:word", "ann:word"),
        ("ann:", "ann:"),
        ("ann", "ann:"),
        (":word", ":word"),
        (":", None),
        ("", None),
        ("a%40b:p%3Aq%2Fr%20", "a@b:p:q/r "),
        ("%C3%BCber:w%C3%B6rd", "über:wörd"),
        ("a:b:c", "a:b:c"),
        ("a@b:c", "a@b:c"),
        ("a:b+c%2B", "a:b+c+"),
    ],
)
async def test_the_credentials_that_the_origin_receives(userinfo, sent):
    async with Origin({"/a": b"a"}) as origin:
        assert await fetched(f"http://{userinfo}@127.0.0.1:{origin.port}/a") == 200
        assert given(origin) == [sent]


@pytest.fixture
async def two(tmp_path):
    """An origin, the same with TLS, and one on another host."""
    pair = await asyncio.to_thread(ensure_self_signed, tmp_path, hostname="x")
    context = await asyncio.to_thread(server_context, *pair)
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(Origin({"/a": b"a"}))
        secure = await stack.enter_async_context(Origin({"/a": b"a"}, ssl_context=context))
        other = await stack.enter_async_context(Origin({"/a": b"a"}, host="127.0.0.2"))
        yield {"plain": plain, "secure": secure, "other": other}


@pytest.mark.parametrize(
    ("first", "location", "second", "sent"),
    [
        ("plain", "/a", "plain", "ann:word"),
        ("plain", "http://127.0.0.1:{plain}/a", "plain", "ann:word"),
        ("plain", "http://bob:w@127.0.0.1:{plain}/a", "plain", "bob:w"),
        ("plain", "http://127.0.0.2:{other}/a", "other", None),
        ("plain", "//127.0.0.2:{other}/a", "other", None),
        ("plain", "http://bob:w@127.0.0.2:{other}/a", "other", "bob:w"),
        ("secure", "http://127.0.0.1:{plain}/a", "plain", None),
        ("plain", "https://127.0.0.1:{secure}/a", "secure", None),
        ("secure", "https://127.0.0.1:{secure}/a", "secure", "ann:word"),
        ("plain", "http://localhost:{plain}/a", "plain", None),
    ],
)
async def test_credentials_after_a_redirect(two, first, location, second, sent):
    ports = {name: origin.port for name, origin in two.items()}
    two[first].script(Redirect(location.format(**ports)))
    url = two[first].url("/a").replace("//", "//ann:word@")
    assert await fetched(url) == 200
    received = given(two[second])
    assert received == (["ann:word", sent] if first == second else [sent])
    assert given(two[first])[0] == "ann:word"
    everything = [str(request.headers) for origin in two.values() for request in origin.requests]
    assert not [text for text in everything if "cookie" in text or "referer" in text]


async def test_credentials_are_not_sent_again_after_a_redirect_away_and_back(two):
    plain, other = two["plain"], two["other"]
    plain.script(Redirect(other.url("/a")))
    other.script(Redirect(plain.url("/a")))
    assert await fetched(plain.url("/a").replace("//", "//ann:word@")) == 200
    assert given(plain) == ["ann:word", None]


@pytest.mark.parametrize(
    "location",
    [
        "http://ann:word@h\u2100st/a?X-Amz-Signature=signed",
        "http://ann:wo/word@host/a?signed",
        "http://ann:word@host:99999/a?signed",
        "http://ann:word@[::1/?signed",
        "ftp://ann:word@host/a?signed",
        "http://ann:word@host/a b?signed",
        "http://ann:word@2130706433/?signed",
        "http://ann:word@127.0.0.1:1/a?signed#signed",
    ],
)
@pytest.mark.parametrize("hops", [1, 11])
async def test_the_error_of_a_bad_redirect_contains_no_secret(location, hops):
    async with Origin({"/a": b"a"}) as origin:
        loop = Redirect(origin.url("/a"))
        origin.script(*[loop] * (hops - 1), Redirect(location.encode().decode("latin-1")))
        with pytest.raises(OriginError) as caught:
            await fetched(origin.url("/a"))
    sentence = caught.value.sentence()
    assert "word" not in sentence.replace("password", "")
    assert "signed" not in sentence
