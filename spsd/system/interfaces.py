"""The addresses of the machine's network interfaces that clients may use for long."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import psutil

_IF_INET6 = Path("/proc/net/if_inet6")
_MOST = 64
"""A certificate with many more names would not fit into the first flight of a handshake."""
_TEMPORARY, _FAILED, _DEPRECATED = 0x01, 0x08, 0x20
"""Flags of an address, from linux/if_addr.h: of RFC 8981, a duplicate, past its preferred time."""


def interface_addresses() -> Sequence[str]:
    """The addresses of all interfaces, sorted; at most 64. It reads /proc, and so blocks."""
    found = (entry.address for entries in psutil.net_if_addrs().values() for entry in entries)
    return lasting_addresses(found, _if_inet6())


def lasting_addresses(found: Iterable[str], if_inet6: str) -> Sequence[str]:
    """Those that are neither loopback, link-local nor temporary, sorted, IPv4 first; at most 64.

    ``found`` may hold hardware addresses as well; ``if_inet6`` is the file of that name in /proc.
    """
    short_lived = _short_lived(if_inet6)
    addresses = {
        address
        for text in found
        if (address := _address(text)) is not None
        and address not in short_lived
        and not (address.is_loopback or address.is_link_local or address.is_unspecified)
    }
    return [str(address) for address in sorted(addresses, key=lambda a: (a.version, int(a)))][
        :_MOST
    ]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _short_lived(if_inet6: str) -> set[IPv6Address]:
    # The address, index, prefix length, scope and flags in hexadecimal digits, and the interface.
    lines = (line.split() for line in if_inet6.splitlines())
    return {
        IPv6Address(int(words[0], 16))
        for words in lines
        if len(words) == 6 and int(words[4], 16) & (_TEMPORARY | _FAILED | _DEPRECATED)
    }


def _if_inet6() -> str:
    """Empty if the kernel has no IPv6."""
    try:
        return _IF_INET6.read_text(encoding="ascii")
    except OSError:
        return ""
