"""The address policy, for direct connections, redirects and names with several addresses."""

import socket

import pytest
from aiohttp.abc import AbstractResolver

from spsd.failures import FailureCode, OriginError
from spsd.testing.origin import Origin, Redirect
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest
from spsd.transfer.rules.proxy import ProxySettings
from tests.transfer.http.bodies import body_of

LIMITS = Limits(
    connect_timeout_s=2, minimum_bytes_per_s=1, stall_window_s=2, rate_limit_bytes_per_s=0
)
TRUST = Trust.for_policy("strict", None)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::ffff:0.0.0.0", True),
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
        ("fd00::1", False),
    ],
)
def test_addresses(address, refused):
    assert (AddressPolicy([]).refusal(address) is not None) is refused
    assert AddressPolicy(["0.0.0.0/0", "::/0"]).refusal(address) is None


def test_allow_reaches_no_further():
    policy = AddressPolicy(["127.0.0.5/32", "fe80::/10"])
    assert policy.refusal("127.0.0.5") is None
    assert policy.refusal("::ffff:127.0.0.5") is None
    assert policy.refusal("fe80::1%eth0") is None
    assert policy.refusal("127.0.0.6") == "a loopback address"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", FailureCode.POLICY),
        ("localhost", FailureCode.POLICY),
        ("0.0.0.0", FailureCode.POLICY),
        ("[::1]", FailureCode.POLICY),
        ("[::ffff:127.0.0.1]", FailureCode.POLICY),
        ("169.254.169.254", FailureCode.POLICY),
        ("[64:ff9b::127.0.0.1]", FailureCode.POLICY),
        ("[2002:7f00:1::1]", FailureCode.POLICY),
        ("[::127.0.0.1]", FailureCode.POLICY),
        ("[::ffff:0:7f00:1]", FailureCode.POLICY),
        ("100.100.100.200", FailureCode.POLICY),
        ("[fd00:ec2::254]", FailureCode.POLICY),
        ("0.0.0.1", FailureCode.POLICY),
        ("255.255.255.255", FailureCode.POLICY),
        ("0x7f.1", FailureCode.POLICY),
        # The client refuses these spellings of IPv4 before anything is looked up.
        ("2130706433", FailureCode.PROTOCOL),
        ("0177.0.0.1", FailureCode.PROTOCOL),
        ("127.1", FailureCode.PROTOCOL),
        ("0", FailureCode.PROTOCOL),
    ],
)
async def test_no_spelling_gets_past_the_connector(host, code):
    async with open_origin(AddressPolicy([]), TRUST, LIMITS) as origin:
        with pytest.raises(OriginError) as caught:
            async with origin.open(f"http://{host}:9/x", RangeRequest()):
                pass
    assert caught.value.code is code
    assert not caught.value.transient


class Names(AbstractResolver):
    """A resolver that returns the next list of addresses of the script for each look-up."""

    def __init__(self, *script):
        self.script = list(script)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self.script.pop(0)
        ]

    async def close(self):
        """There is nothing to close."""


GOOD, BAD = "127.0.0.5", "127.0.0.6"
ONLY_GOOD = AddressPolicy([f"{GOOD}/32"])


@pytest.fixture
async def both():
    """One origin at each address, on the same port."""
    async with (
        Origin({"/a": b"good"}, host=GOOD) as good,
        Origin({"/a": b"bad"}, host=BAD, port=good.port) as bad,
    ):
        yield good, bad


async def fetched(url, *script):
    async with (
        open_origin(ONLY_GOOD, TRUST, LIMITS, resolver=Names(*script)) as origin,
        origin.open(url, RangeRequest()) as response,
    ):
        return await body_of(response)


@pytest.mark.parametrize(
    "addresses",
    [
        [GOOD, BAD],
        [BAD, GOOD],
        [BAD, "::1", GOOD],
        [f"::ffff:{BAD}", BAD, GOOD],
        [f"64:ff9b::{BAD}", "2002:7f00:6::", f"::{BAD}", "0.0.0.6", GOOD],
    ],
)
async def test_of_several_addresses_only_the_good_one_is_used(both, addresses):
    good, bad = both
    assert await fetched(f"http://mixed.test:{good.port}/a", addresses) == b"good"
    assert bad.requests == []


@pytest.mark.parametrize("addresses", [[BAD], [BAD, "::1"], [f"::ffff:{BAD}"]])
async def test_a_name_with_bad_addresses_only(both, addresses):
    good, bad = both
    with pytest.raises(OriginError) as caught:
        await fetched(f"http://bad.test:{good.port}/a", addresses)
    assert caught.value.code is FailureCode.POLICY
    assert (good.requests, bad.requests) == ([], [])


async def test_a_name_that_changes_between_two_look_ups(both):
    """A redirect to the same name is judged by the address of its second look-up."""
    good, bad = both
    url = f"http://rebound.test:{good.port}/a"
    good.script(Redirect(url))
    with pytest.raises(OriginError) as caught:
        await fetched(url, [GOOD], [BAD])
    assert caught.value.code is FailureCode.POLICY
    assert (len(good.requests), bad.requests) == (1, [])


@pytest.mark.parametrize(
    "host", [BAD, f"[::ffff:{BAD}]", "2130706438", "0177.0.0.6", "0x7f.6", "%31%32%37.0.0.6"]
)
async def test_no_redirect_leads_to_a_bad_address(both, host):
    good, bad = both
    good.script(*[Redirect("/a")] * 3, Redirect(f"http://{host}:{good.port}/a"))
    with pytest.raises(OriginError) as caught:
        await fetched(f"http://{GOOD}:{good.port}/a", [BAD])
    assert caught.value.code in (FailureCode.POLICY, FailureCode.PROTOCOL)
    assert (len(good.requests), bad.requests) == (4, [])


async def test_a_proxy_may_stand_where_no_origin_may(both):
    """The operator named the proxy; the origin's address is judged nevertheless."""
    good, bad = both
    proxies = ProxySettings(http=f"http://{BAD}:{bad.port}")
    async with open_origin(AddressPolicy([]), TRUST, LIMITS, proxies) as origin:
        async with origin.open("http://name.test/a", RangeRequest()) as response:
            assert await body_of(response) == b"bad"
        with pytest.raises(OriginError) as caught:
            async with origin.open(f"http://{GOOD}:{good.port}/a", RangeRequest()):
                pass
    assert caught.value.code is FailureCode.POLICY
    assert good.requests == []
