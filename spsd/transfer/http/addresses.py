"""Which addresses spsd connects to, and the name look-ups that lead there.

A URL comes from a client, and the appliance stands where the client may not: so the address is
judged at the moment of connecting, whatever name or literal led to it, on every redirect.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

Network = IPv4Network | IPv6Network


class AddressRefusedError(OSError):
    """The connection was not tried."""


class AddressPolicy:
    """Refuses loopback, link-local, multicast and unspecified addresses unless allowed."""

    def __init__(self, allow: Sequence[str]) -> None:
        self._allow: list[Network] = [ip_network(text, strict=False) for text in allow]

    def refuses(self, text: str) -> str | None:
        """Why the address is refused, None if it is not."""
        address = _plain(ip_address(text.partition("%")[0]))
        if any(address in network for network in self._allow):
            return None
        kinds = {
            "a loopback address": address.is_loopback,
            "a link-local address": address.is_link_local,
            "a multicast address": address.is_multicast,
            "the unspecified address": address.is_unspecified,
        }
        return next((kind for kind, holds in kinds.items() if holds), None)

    def refuses_host(self, host: str) -> str | None:
        """Why a host must not be asked of a proxy, None if it may: judged is what is an address.

        In every spelling that ``inet_aton`` takes: ``2130706433``, ``0177.0.0.1``, ``0x7f.1``.
        """
        address = _literal(host)
        return None if address is None else self.refuses(address)

    def socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for one connection; the connector calls it with the very address it dials.

        Raises:
            AddressRefusedError: the policy refuses the address.
        """
        family, kind, protocol, _, target = info
        if (why := self.refuses(str(target[0]))) is not None:
            raise AddressRefusedError(errno.EPERM, f"{target[0]} is {why}")
        return socket.socket(family, kind, protocol)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """What is really dialled: the IPv4 address inside an IPv4-mapped IPv6 one."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _literal(host: str) -> str | None:
    """The address that a host in a URL is or, being ``localhost`` (RFC 6761 section 6.3), has."""
    try:
        # What the proxy would make of it: full-width digits and dots are mapped (RFC 3490).
        name = unquote(host).encode("idna").decode() if ":" not in host else host
    except UnicodeError:
        name = host
    name = name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(name.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


_Found = list[ResolveResult] | OSError


class InterruptibleResolver(AbstractResolver):
    """Asks libc, and lets the one who asked go whenever they like."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses, numeric, in libc's order.

        Raises:
            OSError: it has none, or nobody knows.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_Found] = loop.create_future()

        def request() -> None:
            found = _look_up(host, port, family)
            # The loop is closed if the daemon has ended meanwhile: nobody is there to be told.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, answered, found)

        threading.Thread(target=request, name=f"resolve {host}", daemon=True).start()
        found = await answered
        if isinstance(found, OSError):
            raise found
        return found

    async def close(self) -> None:
        """Nothing is held between look-ups."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> _Found:
    try:
        infos = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
    except (OSError, UnicodeError) as error:
        return error if isinstance(error, OSError) else OSError(None, str(error))
    return [
        ResolveResult(
            hostname=host,
            # A scope id (fe80::1%2) is part of the address.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
    ]


def _tell(answered: "asyncio.Future[_Found]", found: _Found) -> None:
    if not answered.done():
        answered.set_result(found)
