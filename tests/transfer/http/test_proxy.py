"""Proxies: a real squid, and servers that are not proxies."""

import asyncio
import socket
from contextlib import asynccontextmanager, closing
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.system.certificate import ensure_self_signed, server_context
from spsd.testing.origin import Origin, Redirect, Status
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest
from spsd.transfer.rules.proxy import ProxySettings
from testbed import needs
from tests.squid import CLOSED, NAME, PASSWORD, USER, running_squid
from tests.transfer.http.bodies import body_of

LIMITS = Limits(
    connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=5, rate_limit_bytes_per_s=0
)
LOOPBACK = AddressPolicy(["127.0.0.0/8"])
NOTHING = AddressPolicy([])
CONTENT = b"the image" * 10_000
needs_squid = needs.program("squid")


@pytest.fixture(scope="module")
def squid():
    with running_squid() as running:
        yield running


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return ensure_self_signed(tmp_path_factory.mktemp("tls"), hostname=NAME)


async def fetched(url, proxy, *, policy=NOTHING, trust=None, direct=(), request=None):
    """The body and the evidence; raises what the origin raises."""
    trust = trust or await asyncio.to_thread(Trust.for_policy, "checksum", None)
    proxies = ProxySettings(proxy, proxy, tuple(direct))
    async with (
        open_origin(policy, trust, LIMITS, proxies) as origin,
        origin.open(url, request or RangeRequest()) as response,
    ):
        body = await body_of(response)
        return body, response


async def failure(url, proxy, **settings):
    with pytest.raises(OriginError) as caught:
        await fetched(url, proxy, **settings)
    assert PASSWORD not in caught.value.sentence()
    return caught.value


@asynccontextmanager
async def serving(pair=None, **objects):
    """An origin, and its URL with the name that only the proxy can look up.

    The path is unique: all tests share the log of squid, and a port may be used again.
    """
    path = f"/{uuid4().hex}"
    context = await asyncio.to_thread(server_context, *pair) if pair is not None else None
    async with Origin({path: CONTENT}, ssl_context=context, **objects) as origin:
        scheme = "http" if pair is None else "https"
        yield origin, f"{scheme}://{NAME}:{origin.port}{path}"


@needs_squid
async def test_plain_http_in_absolute_form(squid):
    async with serving() as (origin, url):
        body, response = await fetched(url, squid.url)
        assert body == CONTENT
        assert response.evidence == {"status": 200, "proxy": squid.address}
        assert "squid" in origin.requests[0].headers["via"]
        await squid.until_logged(f"GET {url}")


@needs_squid
async def test_a_range_through_the_proxy(squid):
    async with serving() as (_, url):
        body, response = await fetched(url, squid.url, request=RangeRequest(70_000))
        assert (response.head.status, body) == (206, CONTENT[70_000:])


@needs_squid
async def test_https_by_connect_is_verified(squid, pair):
    trust = await asyncio.to_thread(Trust.for_policy, "strict", pair[0])
    async with serving(pair) as (origin, url):
        body, response = await fetched(url, squid.url, trust=trust)
        assert body == CONTENT
        assert response.evidence["tls"] == "verified"
        assert response.evidence["proxy"] == squid.address
        assert "via" not in origin.requests[0].headers
        assert "proxy-authorization" not in origin.requests[0].headers
        await squid.until_logged(f"CONNECT {NAME}:{origin.port}")


@needs_squid
async def test_tls_policies_hold_through_connect(squid, pair):
    async with serving(pair) as (origin, url):
        strict = await asyncio.to_thread(Trust.for_policy, "strict", None)
        error = await failure(url, squid.url, trust=strict)
        assert error.code is FailureCode.TLS
        assert origin.requests == []
        body, response = await fetched(url, squid.url)
        assert body == CONTENT
        assert response.evidence["tls"] == "not verified (self-signed certificate)"


@needs_squid
@pytest.mark.parametrize("secure", [False, True])
async def test_a_proxy_that_asks_for_a_password(squid, pair, secure):
    async with serving(pair if secure else None) as (origin, url):
        body, response = await fetched(url, squid.guarded())
        assert body == CONTENT
        assert "proxy-authorization" not in origin.requests[0].headers
        assert PASSWORD not in str(response.evidence)
        for wrong in (
            squid.guarded(password="another"),
            squid.guarded()
            .replace(squid.guarded().partition("@")[0], "http://x")
            .replace("x@", ""),
        ):
            error = await failure(url, wrong)
            assert error.code is FailureCode.PROXY_AUTH
            assert not error.transient
            assert "another" not in error.sentence()
            assert "407" in error.what
        assert len(origin.requests) == 1


@needs_squid
async def test_a_407_through_the_tunnel_is_the_origins(squid, pair):
    async with serving(pair, always=Status(407)) as (_, url):
        _, response = await fetched(url, squid.url)
        assert response.head.status == 407


@needs_squid
async def test_credentials_for_the_origin_and_for_the_proxy_do_not_mix(squid):
    async with serving() as (origin, url):
        await fetched(url.replace("//", "//u:p@"), squid.guarded())
        assert origin.requests[0].headers["authorization"] == "Basic dTpw"
        assert "proxy-authorization" not in origin.requests[0].headers


@needs_squid
async def test_an_exception_goes_direct(squid):
    async with serving() as (origin, known):
        url = known.replace(NAME, "127.0.0.1")
        _, response = await fetched(url, squid.url, policy=LOOPBACK, direct=["127.0.0.0/8"])
        assert "proxy" not in response.evidence
        assert "via" not in origin.requests[0].headers
        error = await failure(url, squid.url, direct=["127.0.0.0/8"])
        assert error.code is FailureCode.POLICY


@needs_squid
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "0",
        "169.254.169.254",
        "%31%32%37.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020.0.1",
        "127.0.0.1.",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::1]",
        "0.0.0.1",
        "100.100.100.200",
        "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    ],
)
async def test_an_address_is_refused_although_the_proxy_would_dial_it(squid, host):
    async with serving() as (origin, known):
        url = known.replace(NAME, host)
        error = await failure(url, squid.url)
        assert error.code is FailureCode.POLICY, error
        assert origin.requests == []
        await fetched(known, squid.url)
        await squid.until_logged(f"GET {known}")
        assert len([line for line in squid.lines if urlsplit(known).path in line]) == 1


@needs_squid
async def test_a_redirect_to_an_address_is_judged_too(squid):
    async with serving() as (origin, url):
        origin.script(Redirect(url.replace(NAME, "127.0.0.1")))
        error = await failure(url, squid.url)
        assert error.code is FailureCode.POLICY
        assert len(origin.requests) == 1


@needs_squid
@pytest.mark.parametrize(
    ("host", "transient", "status"),
    [(NAME, True, "503"), (CLOSED, False, "403")],
)
async def test_the_proxy_refuses_connect(squid, host, transient, status):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    error = await failure(f"https://{host}:{port}/a", squid.url)
    assert error.code is FailureCode.PROXY
    assert error.transient is transient
    assert status in error.what
    assert error.evidence == {"host": host, "proxy": squid.address}


async def test_no_proxy_there():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    for scheme in ("http", "https"):
        error = await failure(
            f"{scheme}://a.test/", f"http://{USER}:{PASSWORD[:4]}@127.0.0.1:{port}"
        )
        assert error.code is FailureCode.PROXY
        assert error.what.startswith(f"no connection to the proxy 127.0.0.1:{port}: ")
        assert PASSWORD[:4] not in error.sentence()


async def test_a_proxy_without_an_address():
    error = await failure("http://a.test/", "http://proxy.invalid:1")
    assert error.code is FailureCode.PROXY
    assert error.what.startswith("the proxy proxy.invalid:1 cannot be resolved: ")


async def test_a_proxy_of_another_kind():
    error = await failure("http://a.test/", "socks5://u:secret@127.0.0.1:1")
    assert error.code is FailureCode.PROXY
    assert not error.transient
    assert "secret" not in error.sentence()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"220 mail.test ESMTP\r\n", "proxy"),
        (b"HTTP/1.1 502 Bad\r\n\r\n", "proxy"),
        (b"", "cut_off"),
    ],
)
async def test_a_server_that_is_not_a_proxy(scheme, reply, code):
    async def response(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(response, "127.0.0.1", 0)
    async with server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if scheme == "http" and reply.startswith(b"HTTP"):
            _, got = await fetched(f"{scheme}://a.test/", proxy)
            assert got.head.status == 502  # the sender of the status is unknown
            return
        error = await failure(f"{scheme}://a.test/", proxy)
        assert error.code == code
        assert error.transient
