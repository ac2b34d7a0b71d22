"""Addresses that lead elsewhere: each is judged by every address that a connection may reach."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.transfer.rules.address import REFUSED, address_refusal

PRIVATE_AND_PUBLIC = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8", "1.1.1.1"]
REFUSED_IPV4 = [
    ("0.0.0.0", "0.255.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
    ("100.100.100.200", "100.100.100.200"),
    ("192.0.0.192", "192.0.0.192"),
    ("168.63.129.16", "168.63.129.16"),
]
"""Written again, so that a row that is lost from the table is noticed."""


def embeddings(address: str) -> dict[str, str]:
    """Every form of IPv6 that leads to the IPv4 address, by the name of the form."""
    number = int(IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    inverted = number ^ 0xFFFFFFFF
    local = 0x0064_FF9B_0001 << 80
    rest = {
        "mapped": 0xFFFF << 32 | number,
        "compatible": number,
        "translated": 0xFFFF << 48 | number,
        "NAT64": 0x0064_FF9B << 96 | number,
        "local NAT64 /48": local | high << 64 | low << 40,
        "local NAT64 /56": local | 0xAB << 72 | (number >> 24) << 64 | (number & 0xFFFFFF) << 32,
        "local NAT64 /64": local | 0xABCD << 64 | number << 24,
        "local NAT64 /96": local | 0xABCD << 64 | number,
        "local NAT64 /96, all zero": local | number,
        "6to4": 0x2002 << 112 | number << 80 | 1,
        "6to4, private host": 0x2002 << 112 | number << 80 | 0xFFFF_FFFF_FFFF_FFFF,
        "Teredo client": 0x2001_0000_0808_0808 << 64 | 0x8000_F227 << 32 | inverted,
        "Teredo server": 0x2001_0000 << 96 | number << 64 | 0xF7F7_F7F7,
        "ISATAP, private": 0x2001_0DB8_0000_0001 << 64 | 0x0000_5EFE << 32 | number,
        "ISATAP, global": 0x2001_0DB8_0000_0001 << 64 | 0x0200_5EFE << 32 | number,
    }
    return {name: str(IPv6Address(value)) for name, value in rest.items()}


def ipv4_in(low: str, high: str) -> st.SearchStrategy[str]:
    return st.integers(int(IPv4Address(low)), int(IPv4Address(high))).map(
        lambda number: str(IPv4Address(number))
    )


refused_ipv4 = st.one_of([ipv4_in(low, high) for low, high in REFUSED_IPV4])


@example("127.0.0.1")
@example("169.254.169.254")
@example("255.255.255.255")
@example("0.0.0.1")
@given(refused_ipv4)
def test_every_embedding_of_a_refused_address_is_refused(address):
    assert address_refusal(address, []) is not None
    for form, embedded in embeddings(address).items():
        why = address_refusal(embedded, [])
        assert why is not None, (form, embedded)
        # Of the local forms several are possible at a time, and the reason names one of them.
        if embedded not in ("::", "::1") and "local" not in form:
            assert address in why, (form, why)


@given(refused_ipv4)
def test_a_network_that_allows_the_address_allows_its_embeddings(address):
    networks = [ip_network(f"{address}/32")]
    assert address_refusal(address, networks) is None
    for form, embedded in embeddings(address).items():
        if embedded not in ("::", "::1") and "local" not in form:
            assert address_refusal(embedded, networks) is None, (form, embedded)


@pytest.mark.parametrize("prefix", ["64:ff9b:1::", "64:ff9b:1:fffe::", "64:ff9b:1:1:2:3:"])
def test_a_local_translator_with_the_usual_layout_can_be_used(prefix):
    assert address_refusal(f"{prefix}8.8.8.8", []) is None
    assert address_refusal(f"{prefix}127.0.0.1", []) is not None


def test_bits_after_the_address_do_not_hide_it():
    """A translator may ignore them (RFC 6052 section 2.2)."""
    assert address_refusal("64:ff9b:1:7f00:0:100:808:808", []) is not None
    assert address_refusal("64:ff9b:1:a9fe:a9:fe00:808:808", []) is not None


@pytest.mark.parametrize("address", PRIVATE_AND_PUBLIC)
def test_an_embedding_of_another_address_is_not_refused(address):
    for form, embedded in embeddings(address).items():
        if form in ("local NAT64 /48", "local NAT64 /56", "local NAT64 /64"):
            # Read as the usual layout, that of /96, it is 0.0.0.0: the operator names the prefix.
            networks = [ip_network("64:ff9b:1::/48")]
        else:
            networks = []
        assert address_refusal(embedded, networks) is None, (form, embedded)


@given(st.integers(0, 2**32 - 1))
def test_nothing_else_is_refused(number):
    address = IPv4Address(number)
    inside = any(IPv4Address(low) <= address <= IPv4Address(high) for low, high in REFUSED_IPV4)
    assert (address_refusal(str(address), []) is not None) is inside


@given(st.integers(0, 2**128 - 1))
def test_an_answer_for_every_address(number):
    address = str(IPv6Address(number))
    why = address_refusal(address, [])
    assert why is None or why.startswith(("a ", "an ", "the "))
    assert address_refusal(address, [ip_network("0.0.0.0/0"), ip_network("::/0")]) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("::", "the unspecified address"),
        ("0.0.0.0", "an address of this host"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("febf::1", "a link-local address"),
        ("ff05::2", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "a reserved address"),
        ("100.100.100.200", "the metadata service of Alibaba Cloud"),
        ("192.0.0.192", "the metadata service of Oracle Cloud"),
        ("168.63.129.16", "the platform service of Azure"),
        ("fd00:ec2::254", "a local service of Amazon EC2"),
        ("fd00:ec2::23", "a local service of Amazon EC2"),
        ("fd20:ce::254", "the metadata service of Google Cloud"),
        ("fd00:c1::a9fe:a9fe", "the metadata service of Oracle Cloud"),
        ("fd00:42::42", "the metadata service of Scaleway"),
        ("fd00:a9fe:a9fe::1", "the metadata service of Akamai (Linode)"),
        ("fd00:100::100:200", "the metadata service of Alibaba Cloud"),
        ("169.254.0.23", "a link-local address"),
        ("169.254.170.2", "a link-local address"),
        (
            "64:ff9b::7f00:1",
            "a NAT64 address that leads to 127.0.0.1, a loopback address",
        ),
        (
            "::ffff:100.100.100.200",
            "an IPv4-mapped address that leads to 100.100.100.200, the metadata service",
        ),
    ],
)
def test_the_reason_names_what_is_reached(address, words):
    why = address_refusal(address, [])
    assert why is not None
    assert words in why


@pytest.mark.parametrize(
    "address", ["fd00::1", "fc00::1", "fec0::1", "2001:db8::1", "2606:4700::1111", "fd00:42::43"]
)
def test_private_and_public_addresses_are_allowed(address):
    assert address_refusal(address, []) is None


@pytest.mark.parametrize(
    ("allowed", "address", "refused"),
    [
        # The prefix of the embedding was named on purpose …
        ("64:ff9b::/96", "64:ff9b::7f00:1", False),
        ("64:ff9b::7f00:1", "64:ff9b::7f00:1", False),
        ("2002:7f00::/24", "2002:7f00:1::1", False),
        ("64:ff9b:1:7f00::/96", "64:ff9b:1:7f00::808:808", False),
        ("127.0.0.1", "64:ff9b:1:abcd::7f00:1", False),
        ("127.0.0.1", "64:ff9b:1:abcd::7f00:2", True),
        # … and a wider one was not, nor does one form stand for another.
        ("::/0", "64:ff9b::7f00:1", True),
        ("2000::/3", "2002:7f00:1::1", True),
        ("64:ff9b::/96", "2002:7f00:1::1", True),
        ("2001:db8:0:1::/64", "2001:db8:0:1:0:5efe:7f00:1", True),
        ("2001:db8:0:1:0:5efe::/96", "2001:db8:0:1:0:5efe:7f00:1", False),
        ("64:ff9b::/96", "127.0.0.1", True),
        ("::/0", "::1", False),
        ("::1", "::1", False),
        ("::1", "127.0.0.1", True),
        ("127.0.0.0/8", "::1", True),
        # A mapped address and the IPv4 address are the same destination.
        ("::ffff:127.0.0.5", "127.0.0.5", False),
        ("::ffff:127.0.0.0/104", "::ffff:127.0.0.5", False),
        ("::ffff:127.0.0.5", "127.0.0.6", True),
        ("::/0", "::ffff:127.0.0.1", True),
        ("fe80::/10", "fe80::1%eth0", False),
        ("169.254.169.254", "169.254.0.23", True),
        ("100.64.0.0/10", "100.100.100.200", False),
        ("fd00::/8", "fd00:ec2::254", False),
    ],
)
def test_what_an_allowed_network_opens(allowed, address, refused):
    why = address_refusal(address, [ip_network(allowed, strict=False)])
    assert (why is not None) is refused


def test_every_row_has_its_source():
    assert len({row.network for row in REFUSED}) == len(REFUSED)
    assert all(row.source for row in REFUSED)
