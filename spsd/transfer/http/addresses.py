"""Which addresses spsd connects to, and the look-up of names.

A URL comes from a client, and the appliance may reach hosts that the client cannot reach (server-
side request forgery). So the address is judged when the connection is made, for each redirect
again, and whatever name or spelling led to it: a name may have another address at each look-up.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import unquote

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from spsd.transfer.rules.address import address_refusal


class AddressRefusedError(OSError):
    """The policy refuses the address; no connection was tried."""


class AddressPolicy:
    """Refuses special addresses, unless one of the networks in ``allow`` contains them.

    Special are loopback, link-local, multicast and reserved addresses, the metadata services of
    clouds, and every address of IPv6 that leads to one of these; see
    :mod:`spsd.transfer.rules.address`.
    """

    def __init__(self, allow: Sequence[str]) -> None:
        self._allow = [ip_network(text, strict=False) for text in allow]

    def refusal(self, text: str) -> str | None:
        """Why the address is refused, for example "a loopback address"; None if it is allowed."""
        return address_refusal(text, self._allow)

    def host_refusal(self, host: str) -> str | None:
        """Why a proxy must not be asked to connect to ``host``; None if it may be.

        Only a host that is an address is judged, in every spelling that ``inet_aton`` accepts
        (``2130706433``, ``0177.0.0.1``, ``0x7f.1``), and ``localhost``.
        """
        address = _literal(host)
        return None if address is None else self.refusal(address)

    def socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for one connection; the connector calls it with the address it connects to.

        Raises:
            AddressRefusedError: the policy refuses the address.
        """
        family, kind, protocol, _, target = info
        if (why := self.refusal(str(target[0]))) is not None:
            raise AddressRefusedError(errno.EPERM, f"{target[0]} is {why}")
        return socket.socket(family, kind, protocol)


def _literal(host: str) -> str | None:
    """The address that a URL's host is in any spelling; None if it is a name to look up."""
    # Step 1: decode the host as the proxy would: percent-encoding (RFC 3986 section 3.2.2), and
    # full-width digits and dots (RFC 3490 sections 3.1 and 4).
    try:
        name = unquote(host).encode("idna").decode() if ":" not in host else host
    except UnicodeError:
        name = host
    # Step 2: ``localhost`` and the names below it are loopback (RFC 6761 section 6.3).
    name = name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    # Step 3: an IPv6 or IPv4 address in its usual form (RFC 3986 section 3.2.2).
    try:
        return str(ip_address(name.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    # Step 4: the other forms of IPv4 that ``inet_aton`` accepts (RFC 3986 section 7.4).
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


_LookUpResult = list[ResolveResult] | OSError


class InterruptibleResolver(AbstractResolver):
    """Looks up names with libc, in a thread, so that a waiting task can be cancelled at any time.

    ``getaddrinfo`` itself cannot be interrupted: the thread ends by itself later.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's numeric addresses, in the order of libc (RFC 6724).

        Raises:
            OSError: the host has no address, or the look-up failed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_LookUpResult] = loop.create_future()

        def look_up() -> None:
            result = _look_up(host, port, family)
            # RuntimeError: the daemon has ended meanwhile, and its loop is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_set_result, future, result)

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        result = await future
        if isinstance(result, OSError):
            raise result
        return result

    async def close(self) -> None:
        """No resource is held between look-ups."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> _LookUpResult:
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


def _set_result(future: "asyncio.Future[_LookUpResult]", result: _LookUpResult) -> None:
    if not future.done():
        future.set_result(result)
