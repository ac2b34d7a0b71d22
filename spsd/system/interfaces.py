"""The addresses of the machine's network interfaces that clients may use for long.

They are read from /proc: the usual call, getifaddrs(3), needs a socket of the family AF_NETLINK,
which the sandbox of the systemd unit does not allow.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_NET = Path("/proc/net")
_MOST = 64
"""A certificate with many more names would not fit into the first flight of a handshake."""
_TEMPORARY, _FAILED, _DEPRECATED = 0x01, 0x08, 0x20
"""Flags of an address, from linux/if_addr.h: of RFC 8981, a duplicate, past its preferred time."""
_LOCAL = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL$", re.ASCII | re.MULTILINE)
"""An address of this machine in the kernel's routes: the address, and its kind in the next line."""


def interface_addresses() -> Sequence[str]:
    """The addresses of all interfaces, as :func:`lasting_addresses`. It reads files."""
    return lasting_addresses(_content("fib_trie"), _content("if_inet6"))


def lasting_addresses(fib_trie: str, if_inet6: str) -> Sequence[str]:
    """Those that are neither loopback, link-local nor temporary, sorted, IPv4 first; at most 64.

    The arguments are the files of these names in /proc/net.
    """
    ipv4 = sorted({IPv4Address(text) for text in _LOCAL.findall(fib_trie)})
    addresses: list[IPv4Address | IPv6Address] = [*ipv4, *sorted(set(_ipv6(if_inet6)))]
    return [
        str(address)
        for address in addresses
        if not (address.is_loopback or address.is_link_local or address.is_unspecified)
    ][:_MOST]


def _ipv6(if_inet6: str) -> Sequence[IPv6Address]:
    # The address, index, prefix length, scope and flags in hexadecimal digits, and the interface.
    lines = (line.split() for line in if_inet6.splitlines())
    return [
        IPv6Address(int(words[0], 16))
        for words in lines
        if len(words) == 6 and not int(words[4], 16) & (_TEMPORARY | _FAILED | _DEPRECATED)
    ]


def _content(name: str) -> str:
    """The file in /proc/net; empty if the kernel has none."""
    try:
        return (_NET / name).read_text(encoding="ascii")
    except OSError:
        return ""
