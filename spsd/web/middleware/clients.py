"""Who sent a request: the address and the scheme of the client, also behind trusted proxies.

The fields ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count only in a request from an address of
``[server] trusted_proxies``: any client can send them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import hdrs, web

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]
TRUSTED_PROXIES = web.AppKey("trusted_proxies", tuple)
UNKNOWN = "unknown"
_FORWARDED_PREFIX = "x-forwarded-"
_FORWARDED = (hdrs.FORWARDED, hdrs.VIA, "X-Real-IP")


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of a request.

    ``address`` has no port, and is ``unknown`` if the connection is closed already. ``scheme`` is
    None if a proxy may have ended TLS. ``on_appliance``: it runs on the appliance itself.
    """

    address: str
    scheme: str | None
    on_appliance: bool


def trusted_networks(texts: Iterable[str]) -> Networks:
    """The networks of the setting.

    Raises:
        ValueError: one of them is neither an address nor a network.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def client_of(request: web.Request) -> Client:
    """The client that sent the request."""
    headers = request.headers
    return resolve(
        request.remote,
        tls=request.secure,
        forwarded_for=headers.getall(hdrs.X_FORWARDED_FOR, []),
        forwarded_proto=headers.getall(hdrs.X_FORWARDED_PROTO, []),
        is_forwarded=any(name in headers for name in _FORWARDED)
        or any(name.lower().startswith(_FORWARDED_PREFIX) for name in headers),
        trusted=request.app[TRUSTED_PROXIES],
    )


def resolve(
    remote: str | None,
    *,
    tls: bool,
    forwarded_for: Sequence[str] = (),
    forwarded_proto: Sequence[str] = (),
    is_forwarded: bool = False,
    trusted: Networks = (),
) -> Client:
    """The client of a request from ``remote``, the address at the other end of the connection.

    ``forwarded_for`` and ``forwarded_proto`` are the values of the fields, in their order;
    ``is_forwarded``: the request has any field that proxies add.
    """
    peer = _address(remote or "")
    if peer is None:
        return Client(UNKNOWN, "https" if tls else None, on_appliance=False)
    if not _is_in(peer, trusted):
        # A proxy on the appliance makes all its clients look as if they were on it.
        return Client(str(peer), "https" if tls else None, peer.is_loopback and not is_forwarded)
    hops = list(_hops(peer, forwarded_for, trusted))
    known = [hop for hop in hops if hop is not None]
    # Loopback in the words of a proxy on another machine is that machine.
    is_local = len(known) == len(hops) and all(hop.is_loopback for hop in known)
    return Client(
        str(known[-1]),
        _scheme(forwarded_proto) or ("https" if tls else None),
        is_local and (bool(forwarded_for) or not is_forwarded),
    )


def _hops(
    peer: Address, forwarded_for: Sequence[str], trusted: Networks
) -> Iterator[Address | None]:
    """The addresses from ``peer`` to the client; the last one is None if it is malformed.

    They are those of ``X-Forwarded-For`` from the right, up to the first that is no trusted proxy:
    each proxy appends the address of its client, so what stands left of that may be forged.
    """
    yield peer
    for text in reversed(",".join(forwarded_for).split(",") if forwarded_for else []):
        address = _address(text)
        yield address
        if address is None or not _is_in(address, trusted):
            return


def _scheme(fields: Sequence[str]) -> str | None:
    """The scheme that the nearest proxy states; None: none, or neither http nor https."""
    scheme = ",".join(fields).rpartition(",")[2].strip().lower()
    return scheme if scheme in ("http", "https") else None


def _address(text: str) -> Address | None:
    """An address, without brackets, port and zone; an IPv4 address mapped to IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not (port[0] == ":" and _is_port(port[1:])):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
