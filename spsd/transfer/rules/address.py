"""Which addresses spsd refuses to connect to, and which address a form of IPv6 leads to.

The networks are our own table: ``is_private``, ``is_global`` and their like in :mod:`ipaddress`
differ between the releases of Python, and know neither embedded addresses nor metadata services.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Refused:
    """A network that is refused. ``kind`` completes "the address is …"; ``source`` defines it."""

    network: Network
    kind: str
    source: str


def _refused(network: str, kind: str, source: str) -> Refused:
    return Refused(ip_network(network), kind, source)


_LOOPBACK, _LINK_LOCAL, _MULTICAST = (
    "a loopback address",
    "a link-local address",
    "a multicast address",
)
_THIS_HOST, _RESERVED = "an address of this host or network", "a reserved address"
_METADATA = "the metadata service of"

REFUSED: Final = (
    # Linux connects 0.0.0.0 to the machine itself, as it does ::.
    _refused("0.0.0.0/8", _THIS_HOST, "RFC 1122 section 3.2.1.3"),
    _refused("127.0.0.0/8", _LOOPBACK, "RFC 1122 section 3.2.1.3"),
    # With the metadata services of AWS, Azure, Google, OpenStack, Oracle, Scaleway, Tencent …
    _refused("169.254.0.0/16", _LINK_LOCAL, "RFC 3927"),
    _refused("224.0.0.0/4", _MULTICAST, "RFC 5771"),
    _refused("240.0.0.0/4", _RESERVED, "RFC 1112 section 4; the broadcast address: RFC 919"),
    _refused("100.100.100.200/32", f"{_METADATA} Alibaba Cloud", "Alibaba Cloud: ECS metadata"),
    _refused("192.0.0.192/32", f"{_METADATA} Oracle Cloud", "Oracle: Compute Classic metadata"),
    _refused("168.63.129.16/32", "the platform service of Azure", "Microsoft: WireServer"),
    _refused("::/128", "the unspecified address", "RFC 4291 section 2.5.2"),
    _refused("::1/128", _LOOPBACK, "RFC 4291 section 2.5.3"),
    _refused("fe80::/10", _LINK_LOCAL, "RFC 4291 section 2.5.6"),
    _refused("ff00::/8", _MULTICAST, "RFC 4291 section 2.7"),
    # Metadata at ::254, credentials of EKS pods at ::23, name server and clock beside them.
    _refused("fd00:ec2::/32", "a local service of Amazon EC2", "AWS: EC2 instance metadata"),
    _refused("fd20:ce::254/128", f"{_METADATA} Google Cloud", "Google: IPv6-only instances"),
    _refused("fd00:c1::a9fe:a9fe/128", f"{_METADATA} Oracle Cloud", "Oracle: OCI metadata, IPv6"),
    _refused("fd00:42::42/128", f"{_METADATA} Scaleway", "cloud-init: data source Scaleway"),
    _refused("fd00:a9fe:a9fe::1/128", f"{_METADATA} Akamai (Linode)", "Akamai: Metadata service"),
    _refused("fd00:100::100:200/128", f"{_METADATA} Alibaba Cloud", "Alibaba Cloud: ECS, IPv6"),
)
"""Every network that is refused unless ``[fetch] allow`` contains the address."""

_NEVER_FORWARDED: Final = (_THIS_HOST, _RESERVED)
"""Kinds that no translator sends packets to."""


def address_refusal(text: str, allow: Sequence[Network]) -> str | None:
    """Why the address is refused, for example "a loopback address"; None if it is allowed.

    ``text`` is a numeric address, with a scope or without. An address of IPv6 that embeds one of
    IPv4 is judged by that one as well: a translator or a tunnel on the way sends the packets there.
    A network in ``allow`` that contains the IPv4 address allows every form of it. A network of IPv6
    allows an embedded address only if it lies inside the prefix of that form: ``::/0`` does not.

    Raises:
        ValueError: ``text`` is not a numeric address.
    """
    allowed = [_unmapped(network) for network in allow]
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return _kind(address, allowed)
    mapped = address in _MAPPED.network
    # The kernel connects to the IPv4 address: a mapped address has no meaning of its own.
    own = None if mapped else _kind(address, allowed)
    return own or next(_embedded_refusals(address, allowed), None)


def _kind(address: Address, allow: Sequence[Network]) -> str | None:
    if any(address in network for network in allow):
        return None
    return next((row.kind for row in REFUSED if address in row.network), None)


def _embedded_refusals(address: IPv6Address, allow: Sequence[Network]) -> Iterator[str]:
    if int(address) <= 1:  # the unspecified and the loopback address embed nothing
        return
    for embedding in _EMBEDDINGS:
        if address not in embedding.network or any(
            address in network and network.prefixlen >= embedding.prefix_bits for network in allow
        ):
            continue
        for reached in embedding.reached(int(address)):
            if (kind := _kind(reached, allow)) is not None:
                yield f"{embedding.name} that leads to {reached}, {kind}"


@dataclass(frozen=True, slots=True)
class _Embedding:
    """A form of IPv6 address; ``reached`` gives the IPv4 addresses that one leads to.

    ``prefix_bits`` is the length of the prefix that makes an address one of this form.
    """

    name: str
    network: IPv6Network
    prefix_bits: int
    reached: Callable[[int], Sequence[IPv4Address]]


def _embedding(
    name: str, network: str, reached: Callable[[int], Sequence[IPv4Address]]
) -> _Embedding:
    prefix = IPv6Network(network)
    return _Embedding(name, prefix, prefix.prefixlen, reached)


def _unmapped(network: Network) -> Network:
    """The network of IPv4 for one of IPv4-mapped addresses: both are the same destination."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED.network):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def _bits(address: int, first: int) -> IPv4Address:
    """The 32 bits from bit ``first`` on; bit 0 is the highest."""
    return IPv4Address(address >> (96 - first) & 0xFFFF_FFFF)


def _last(address: int) -> Sequence[IPv4Address]:
    return (_bits(address, 96),)


def _six_to_four(address: int) -> Sequence[IPv4Address]:
    return (_bits(address, 16),)


def _teredo(address: int) -> Sequence[IPv4Address]:
    """The client, whose bits are inverted, and the server that introduces it (RFC 4380 4)."""
    return (IPv4Address(int(_bits(address, 96)) ^ 0xFFFF_FFFF), _bits(address, 32))


def _isatap(address: int) -> Sequence[IPv4Address]:
    """The last 32 bits, if the interface identifier is that of RFC 5214 section 6.1."""
    return _last(address) if address >> 32 & 0xFDFF_FFFF == 0x0000_5EFE else ()


def _local_translation(address: int) -> Sequence[IPv4Address]:
    """The address by each layout of RFC 6052 section 2.2, since the layout in use is not known.

    Bits 64 to 71 are skipped by the layouts for prefixes of 48, 56 and 64 bits. What follows the
    address should be zero, but a translator need not check it. With other bits there, the address
    counts if a translator would forward to it; otherwise every usual address, which has the layout
    for 96 bits, would be read as one of 0.0.0.0/8 too.
    """
    without_octet = address >> 64 << 56 | address & (1 << 56) - 1  # 120 bits are left
    shorter = [
        (IPv4Address(without_octet >> shift & 0xFFFF_FFFF), without_octet & (1 << shift) - 1)
        for shift in (40, 32, 24)
    ]
    return [
        *(
            found
            for found, rest in shorter
            if rest == 0 or _kind(found, ()) not in _NEVER_FORWARDED
        ),
        *_last(address),
    ]


# RFC 4291 section 2.5.5.2
_MAPPED: Final = _embedding("an IPv4-mapped address", "::ffff:0:0/96", _last)
_EMBEDDINGS: Final = (
    _MAPPED,
    _embedding("an IPv4-compatible address", "::/96", _last),  # RFC 4291 section 2.5.5.1
    _embedding("an IPv4-translated address", "::ffff:0:0:0/96", _last),  # RFC 2765 section 2.1
    _embedding("a NAT64 address", "64:ff9b::/96", _last),  # RFC 6052 section 2.1
    _embedding("a local NAT64 address", "64:ff9b:1::/48", _local_translation),  # RFC 8215
    _embedding("a 6to4 address", "2002::/16", _six_to_four),  # RFC 3056 section 2
    _embedding("a Teredo address", "2001::/32", _teredo),  # RFC 4380 section 4
    # The prefix of any link, and 32 bits of the interface identifier (RFC 5214 section 6.1).
    _Embedding("an ISATAP address", IPv6Network("::/0"), 96, _isatap),
)
