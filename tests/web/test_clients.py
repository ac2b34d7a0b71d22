"""Who a client is: its address, scheme, origin and session, with and without proxies."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.accounts.model import FREE_FAILURES
from spsd.web.middleware.auth import MOST_TOKENS, is_own_origin
from spsd.web.middleware.clients import Client, resolve, trusted_networks
from tests.web.conftest import PASSWORD, Api, basic
from tests.web.test_answers import BODY, FETCH, LOG_IN, exchange, token_of

PROXIES = trusted_networks(["127.0.0.1", "10.0.0.0/24", "fd00::/64"])


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "address"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["198.51.100.1"], "unknown"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::2", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:DB8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        # What the client itself has sent stands on the left.
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.0.0.7"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
        # A malformed value ends the list: what stands left of it may be forged.
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, _x, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:x"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:123456"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]x"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1]"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.01"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3"], "10.0.0.1"),
    ],
)
def test_the_address(remote: str | None, forwarded_for: list[str], address: str) -> None:
    client = resolve(remote, tls=False, forwarded_for=forwarded_for, trusted=PROXIES)
    assert client.address == address


@given(
    sent=st.lists(st.text(max_size=30), max_size=4),
    own=st.sampled_from(["198.51.100.1", "2001:db8::1"]),
    through=st.lists(st.sampled_from(["10.0.0.2", "[fd00::3]:80", "127.0.0.1"]), max_size=3),
)
def test_nothing_that_a_client_sends_changes_its_address(
    sent: list[str], own: str, through: list[str]
) -> None:
    fields = [", ".join([*sent, own, *through])]
    client = resolve("10.0.0.1", tls=False, forwarded_for=fields, trusted=PROXIES)
    assert client == Client(own, None, on_appliance=False)


@given(remote=st.text(max_size=20) | st.ip_addresses().map(str), fields=st.lists(st.text()))
def test_an_address_is_one_or_unknown(remote: str, fields: list[str]) -> None:
    everyone = trusted_networks(["0.0.0.0/0", "::/0"])
    for trusted in (PROXIES, everyone):
        client = resolve(remote, tls=True, forwarded_for=fields, trusted=trusted)
        assert client.address == "unknown" or str(ip_address(client.address)) == client.address


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "is_forwarded", "on_appliance"),
    [
        ("127.0.0.1", [], False, True),
        ("::1", [], False, True),
        ("::ffff:127.0.0.1", [], False, True),
        ("127.0.0.1", [], True, False),
        ("127.0.0.1", ["192.0.2.7"], True, False),
        ("127.0.0.1", ["127.0.0.1"], True, True),
        ("127.0.0.1", ["unknown"], True, False),
        ("127.0.0.1", ["127.0.0.1, unknown"], True, False),
        ("10.0.0.1", ["127.0.0.1"], True, False),  # that is the machine of the proxy
        ("127.0.0.1", ["127.0.0.1, 10.0.0.1"], True, False),
        ("192.0.2.7", ["127.0.0.1"], True, False),
        ("::1", ["127.0.0.1"], True, False),  # no trusted proxy
    ],
)
def test_whether_the_client_is_on_the_appliance(
    remote: str, forwarded_for: list[str], is_forwarded: bool, on_appliance: bool
) -> None:
    client = resolve(
        remote,
        tls=False,
        forwarded_for=forwarded_for,
        is_forwarded=is_forwarded,
        trusted=PROXIES,
    )
    assert client.on_appliance is on_appliance


@pytest.mark.parametrize(
    ("remote", "tls", "proto", "scheme"),
    [
        ("192.0.2.7", True, ["http"], "https"),
        ("192.0.2.7", False, ["https"], None),
        ("10.0.0.1", False, ["https"], "https"),
        ("10.0.0.1", False, ["HTTPS "], "https"),
        ("10.0.0.1", False, ["https, http"], "http"),
        ("10.0.0.1", False, ["https", "http"], "http"),
        ("10.0.0.1", False, ["wss"], None),
        ("10.0.0.1", False, [], None),
        ("10.0.0.1", True, [], "https"),
        ("10.0.0.1", True, ["http"], "http"),
    ],
)
def test_the_scheme(remote: str, tls: bool, proto: list[str], scheme: str | None) -> None:
    client = resolve(remote, tls=tls, forwarded_proto=proto, trusted=PROXIES)
    assert client.scheme == scheme


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "own"),
    [
        ("https://appliance", "appliance", "https", True),
        ("https://appliance", "appliance:443", "https", True),
        ("https://appliance:443", "appliance", "https", True),
        ("https://appliance", "Appliance:443", "https", True),
        ("http://appliance", "appliance:80", "http", True),
        ("https://appliance:8443", "appliance:8443", "https", True),
        ("https://[::1]", "[::1]:443", "https", True),
        ("https://[2001:db8::1]:8443", "[2001:DB8:0:0::1]:8443", "https", True),
        ("https://appliance:", "appliance", "https", True),
        ("https://appliance", "appliance", None, True),
        ("http://appliance", "appliance", None, True),
        ("https://appliance", "appliance:443", None, True),
        ("http://appliance:8443", "appliance:8443", None, True),
        ("http://appliance", "appliance", "https", False),
        ("https://appliance", "appliance", "http", False),
        ("https://appliance", "appliance:80", None, False),
        ("http://appliance", "appliance:443", None, False),
        ("https://appliance", "appliance:8443", "https", False),
        ("https://appliance.", "appliance", "https", False),
        ("https://elsewhere", "appliance", "https", False),
        ("https://appliance.elsewhere", "appliance", "https", False),
        ("https://x@appliance", "appliance", "https", False),
        ("https://appliance/", "appliance", "https", False),
        ("https://appliance", "x@appliance", "https", False),
        ("https://appliance:99999999", "appliance:99999999", "https", False),
        ("https://::1", "::1", "https", False),
        ("https://[x]", "[x]", "https", False),
        ("ftp://appliance", "appliance", None, False),
        ("appliance", "appliance", None, False),
        ("null", "null", None, False),
        ("", "", None, False),
        ("https://", "", None, False),
        ("https://a\u0661", "a\u0661:44\u0663", None, False),
    ],
)
def test_the_origin(origin: str, host: str, scheme: str | None, own: bool) -> None:
    assert is_own_origin(origin, host, scheme) is own


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["http", "https", None]))
def test_any_text_is_an_origin_or_not(origin: str, host: str, scheme: str | None) -> None:
    assert is_own_origin(origin, host, scheme) in (True, False)
    assert not is_own_origin("null", host, scheme)


async def status_of(api: Api, *fields: str, method: str = "POST", path: str = FETCH) -> int:
    client = await api.client()
    lines = "".join(f"{line}\r\n" for line in fields)
    cookie = f"Cookie: session_id={token_of(client)}\r\n"
    head = f"{method} {path} HTTP/1.1\r\n{lines}{cookie}Content-Length: {len(BODY)}\r\n"
    return int((await exchange(client, head, BODY.encode())).split(b" ")[1])


async def test_a_default_port_may_be_left_out(api: Api) -> None:
    assert await status_of(api, "Host: appliance:443", "Origin: https://appliance") == 202
    assert await status_of(api, "Host: appliance", "Origin: https://appliance:443") == 202
    assert await status_of(api, "Host: appliance:444", "Origin: https://appliance") == 403
    two = ("Origin: https://appliance", "Origin: https://elsewhere")
    assert await status_of(api, "Host: appliance", *two) in (400, 403)


async def test_the_scheme_of_a_trusted_proxy_is_that_of_the_origin(api: Api) -> None:
    await api.start(server={"trusted_proxies": ("127.0.0.1",)})
    fields = ("Host: appliance", "Origin: http://appliance")
    assert await status_of(api, *fields, "X-Forwarded-Proto: https") == 403
    assert await status_of(api, *fields, "X-Forwarded-Proto: http") == 202
    await api.start(server={"trusted_proxies": ("192.0.2.1",)})
    assert await status_of(api, *fields, "X-Forwarded-Proto: https") == 202, "not trusted"


async def test_the_cookie_is_secure_behind_a_trusted_proxy_with_tls(api: Api) -> None:
    fields = basic("admin", PASSWORD) | {"X-Forwarded-Proto": "https"}
    for trusted, secure in (((), False), (("127.0.0.0/8",), True), (("192.0.2.1",), False)):
        await api.start(server={"trusted_proxies": trusted})
        client = await api.client(None)
        opened = (await client.get(LOG_IN, headers=fields)).cookies["session_id"]
        assert bool(opened["secure"]) is secure, trusted
        cookie = {"Cookie": f"session_id={opened.value}"}
        closed = await client.delete(LOG_IN, headers=fields | cookie)
        assert bool(closed.cookies["session_id"]["secure"]) is secure


@pytest.mark.parametrize("path", ["/", LOG_IN, "/none"])
async def test_browsers_are_bound_to_tls_where_there_is_tls(api: Api, path: str) -> None:
    for server, proto, bound in (
        ({"plain_http": False}, None, True),
        ({}, None, False),
        ({}, "https", False),
        ({"trusted_proxies": ("127.0.0.1",)}, "https", True),
        ({"trusted_proxies": ("127.0.0.1",)}, "http", False),
    ):
        await api.start(server=server)
        client = await api.client(None)
        fields = {} if proto is None else {"X-Forwarded-Proto": proto}
        response = await client.get(path, headers=fields, ssl=False)
        assert ("Strict-Transport-Security" in response.headers) is bound, (server, proto)


async def test_failed_log_ins_block_one_client_of_a_trusted_proxy(api: Api) -> None:
    await api.start(server={"trusted_proxies": ("127.0.0.1",)})
    client = await api.client(None)
    for _ in range(FREE_FAILURES):
        fields = basic("admin", "wrong") | {"X-Forwarded-For": "9.9.9.9, 192.0.2.7"}
        assert (await client.get(LOG_IN, headers=fields)).status == 401
    for forwarded, status in (("8.8.8.8, 192.0.2.7", 429), ("9.9.9.9, 192.0.2.8", 200)):
        fields = basic("admin", PASSWORD) | {"X-Forwarded-For": forwarded}
        assert (await client.get(LOG_IN, headers=fields)).status == status


async def test_without_the_setting_a_client_cannot_avoid_the_block(api: Api) -> None:
    client = await api.client(None)
    for number in range(FREE_FAILURES):
        fields = basic("admin", "wrong") | {"X-Forwarded-For": f"192.0.2.{number}"}
        assert (await client.get(LOG_IN, headers=fields)).status == 401
    fields = basic("admin", PASSWORD) | {"X-Forwarded-For": "192.0.2.99"}
    assert (await client.get(LOG_IN, headers=fields)).status == 429


async def test_the_metrics_behind_a_trusted_proxy(api: Api) -> None:
    await api.start(server={"trusted_proxies": ("127.0.0.1",)})
    client = await api.client(None)
    for fields, status in [
        ({}, 200),
        ({"X-Forwarded-For": "192.0.2.7"}, 401),
        ({"X-Forwarded-For": "127.0.0.1"}, 200),
        ({"X-Forwarded-For": "unknown"}, 401),
        ({"X-Forwarded-Proto": "https"}, 401),
        ({"X-Forwarded-Host": "x"}, 401),
        ({"Forwarded": "for=127.0.0.1"}, 401),
    ]:
        assert (await client.get("/metrics", headers=fields)).status == status, fields


@pytest.mark.parametrize("other", ["x=1", "session_id=", f"session_id={'0' * 40}", "session_id=%"])
async def test_the_session_is_found_in_any_cookie_field(api: Api, other: str) -> None:
    client = await api.client()
    own = f"session_id={token_of(client)}"
    for cookies in (
        f"Cookie: {other}\r\nCookie: {own}\r\n",
        f"Cookie: {own}\r\nCookie: {other}\r\n",
        f"Cookie: {other}; {own}\r\n",
        f"Cookie: {own}; {other}\r\n",
        f'Cookie: {other};session_id="{token_of(client)}"\r\n',
    ):
        response = await exchange(client, f"GET {FETCH} HTTP/1.1\r\nHost: x\r\n{cookies}")
        assert response.startswith(b"HTTP/1.1 200 "), cookies


async def test_of_two_sessions_the_first_counts_and_log_out_ends_both(api: Api) -> None:
    tokens = [token_of(await api.client(name)) for name in ("admin", "viewer")]
    client = await api.client(None)
    for first, second, name in ((0, 1, "admin"), (1, 0, "viewer")):
        cookies = f"Cookie: session_id={tokens[first]}\r\nCookie: session_id={tokens[second]}\r\n"
        head = f"GET /api/user_info HTTP/1.1\r\nHost: x\r\n{cookies}"
        answer = await exchange(client, head)
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["user"] == {"name": name}
    await exchange(client, f"DELETE {LOG_IN} HTTP/1.1\r\nHost: x\r\n{cookies}")
    for token in tokens:
        head = f"GET {FETCH} HTTP/1.1\r\nHost: x\r\nCookie: session_id={token}\r\n"
        assert (await exchange(client, head)).startswith(b"HTTP/1.1 401 ")


async def test_not_every_token_of_a_request_is_looked_up(api: Api) -> None:
    client = await api.client()
    wrong = "".join(f"Cookie: session_id={n:040}\r\n" for n in range(100))
    own = f"Cookie: session_id={token_of(client)}\r\n"
    reads = api.database.reads
    response = await exchange(client, f"GET {FETCH} HTTP/1.1\r\nHost: x\r\n{wrong}{own}")
    assert response.startswith(b"HTTP/1.1 401 ")
    assert api.database.reads - reads <= MOST_TOKENS
