"""Which proxy a request uses: settings, environment and exceptions."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.transfer.rules.proxy import (
    ProxySettings,
    exception_problem,
    proxy_for,
    proxy_problem,
    proxy_settings,
)

PROXY = "http://proxy.example:3128"


def goes_direct(host: str, *exceptions: str) -> bool:
    url = f"http://user:word@{host}:81/path?query"
    return proxy_for(url, ProxySettings(PROXY, PROXY, exceptions)) is None


@pytest.mark.parametrize(
    ("exception", "host", "direct"),
    [
        ("*", "anything.example", True),
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.org", True),
        ("Example.ORG.", "a.b.example.org.", True),
        (".example.org", "example.org", True),
        (".example.org", "www.example.org", True),
        ("example.org", "notexample.org", False),
        ("example.org", "example.org.evil.example", False),
        ("www.example.org", "example.org", False),
        ("org", "example.org", True),
        (".", "example.org", False),
        ("10.0.0.0/8", "10.9.8.7", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.30", False),
        ("0.0.1", "10.0.0.1", False),
        ("10.0.0.0/8", "ten.example", False),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("fd00::/8", "[fe80::1]", False),
        ("0.0.0.0/0", "[fd00::1]", False),
    ],
)
def test_exceptions(exception, host, direct):
    assert goes_direct(host, exception) is direct
    assert goes_direct(host, "other.example", exception) is direct


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@given(NAME, NAME, st.booleans())
def test_a_domain_covers_itself_and_the_names_below_it(domain, below, dotted):
    exception = f".{domain}" if dotted else domain
    assert goes_direct(domain, exception)
    assert goes_direct(f"{below}.{domain}", exception)


@given(NAME, NAME)
def test_a_domain_covers_no_other_name(domain, other):
    covered = other == domain or other.split(".")[-len(domain.split(".")) :] == domain.split(".")
    assert goes_direct(other, domain) is covered
    assert not goes_direct(f"x{domain}", domain)


@given(st.ip_addresses(), st.ip_addresses(), st.data())
def test_a_network_covers_its_addresses(address, other, data):
    length = data.draw(st.integers(0, address.max_prefixlen))
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    for candidate in (address, other):
        host = f"[{candidate}]" if candidate.version == 6 else str(candidate)
        assert goes_direct(host, str(network)) is (candidate in network)


@given(NAME, st.booleans())
def test_without_exceptions_each_scheme_has_its_proxy(host, secure):
    settings = ProxySettings("http://one", "http://two")
    url = f"{'https' if secure else 'http'}://{host}/"
    assert proxy_for(url, settings) == ("http://two" if secure else "http://one")
    assert proxy_for(url, ProxySettings()) is None


@pytest.mark.parametrize(
    ("environ", "http", "https", "direct"),
    [
        ({}, None, None, ()),
        ({"http_proxy": "p:1"}, "http://p:1", None, ()),
        ({"HTTP_PROXY": "p:1"}, None, None, ()),
        ({"https_proxy": "http://p:1"}, None, "http://p:1", ()),
        ({"HTTPS_PROXY": "p:1"}, None, "http://p:1", ()),
        ({"HTTPS_PROXY": "upper", "https_proxy": "lower"}, None, "http://lower", ()),
        ({"HTTPS_PROXY": "upper", "https_proxy": ""}, None, "http://upper", ()),
        ({"ALL_PROXY": "p:1"}, "http://p:1", "http://p:1", ()),
        ({"all_proxy": "p:1", "https_proxy": "q:2"}, "http://p:1", "http://q:2", ()),
        ({"all_proxy": "socks5://p:1"}, "socks5://p:1", "socks5://p:1", ()),
        ({"NO_PROXY": "a, b c,,10.0.0.0/8"}, None, None, ("a", "b", "c", "10.0.0.0/8")),
        ({"NO_PROXY": "upper", "no_proxy": "lower"}, None, None, ("lower",)),
    ],
)
def test_the_environment(environ, http, https, direct):
    assert proxy_settings(None, None, environ) == ProxySettings(http, https, direct)


def test_the_settings_count_first():
    environ = {"all_proxy": "p:1", "no_proxy": "a"}
    assert proxy_settings("q:2", None, environ) == ProxySettings("http://q:2", "http://q:2", ("a",))
    assert proxy_settings("", None, environ) == ProxySettings(None, None, ("a",))
    assert proxy_settings("", ["b"], environ) == ProxySettings(None, None, ("b",))
    assert proxy_settings("q:2", [], environ) == ProxySettings("http://q:2", "http://q:2", ())
    assert proxy_settings(None, ["b"], environ).direct == ("b",)


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("http://proxy:3128", None),
        ("HTTP://user:word@[::1]:3128/", None),
        ("socks5://user:word@proxy", "the scheme of the proxy is socks5, and spsd supports"),
        ("https://user:word@proxy", "the scheme of the proxy is https, and"),
        ("http://", "the URL of the proxy names no host"),
        ("http://user:wo/rd@proxy", "the URL of the proxy is no valid URL: its port is"),
        ("http://proxy/word", "the URL of the proxy has a path"),
    ],
)
def test_the_problem_of_a_proxy_contains_no_password(proxy, problem):
    actual = proxy_problem(proxy)
    assert (actual is None) == (problem is None)
    assert actual is None or (
        actual.startswith(problem) and "wo" not in actual.removeprefix(problem)
    )


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a.example", True),
        ("10.0.0.0/8", True),
        ("10.1.2.3/8", True),
        ("[2001:db8::1]/32", True),
        ("*", True),
        ("a/8", False),
        ("", False),
        ("a b", False),
        ("a,b", False),
    ],
)
def test_exceptions_in_the_settings(text, good):
    assert (exception_problem(text) is None) is good


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("http://q:2", None),
        ("http://q:2/", None),
        ("HTTP://q:2", None),
        ("http://q:2/x", "the URL of the proxy has a path"),
        ("http://q:x", "the URL of the proxy is no valid URL: its port is no number up to 65535"),
        ("socks5://q", "the scheme of the proxy is socks5, and spsd supports http proxies only"),
    ],
)
def test_the_problem_of_a_proxy(proxy, problem):
    assert proxy_problem(proxy) == problem
