"""Which proxy a request goes through, as curl decides it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from spsd.errors import InvalidRequestBodyError
from spsd.transfer.rules.url import parse_source_url

_BETWEEN = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A proxy for each scheme, None where there is none; and the hosts that need none."""

    http: str | None = None
    https: str | None = None
    direct: tuple[str, ...] = ()


NO_PROXIES = ProxySettings()


def proxy_settings(
    proxy: str | None, no_proxy: Sequence[str] | None, environ: Mapping[str, str]
) -> ProxySettings:
    """What the operator wants: the settings count, then the environment, as for curl.

    ``proxy`` None leaves the choice to ``http_proxy``, ``https_proxy`` and ``all_proxy``, ``""``
    means none. ``no_proxy`` None leaves the exceptions to ``no_proxy``, whoever named the proxy.
    Upper case counts where lower case is not set, but for HTTP_PROXY: where a CGI program is
    started, a client's own ``Proxy:`` field would be found under that name.
    """
    direct = _BETWEEN.split(_variable(environ, "no_proxy")) if no_proxy is None else no_proxy
    if proxy is not None:
        http = https = proxy
    else:
        every = _variable(environ, "all_proxy")
        http = environ.get("http_proxy") or every
        https = _variable(environ, "https_proxy") or every
    named = tuple(text for text in direct if text)
    return ProxySettings(_with_scheme(http), _with_scheme(https), named)


def proxy_for(url: str, settings: ProxySettings) -> str | None:
    """The URL of the proxy for a request to ``url``, None if it goes straight to the origin."""
    parts = urlsplit(url)
    proxy = settings.https if parts.scheme == "https" else settings.http
    host = (parts.hostname or "").removesuffix(".")
    return None if any(_covers(text, host) for text in settings.direct) else proxy


def exception_problem(text: str) -> str | None:
    """What is wrong with an item of ``[fetch] no_proxy``; None if nothing is."""
    if not text or _BETWEEN.search(text):
        return f"{text!r} is no host, no domain and no network"
    if "/" in text and _network(text) is None:
        return f"{text!r} is no network"
    return None


def proxy_problem(proxy: str) -> str | None:
    """Why spsd cannot use the proxy; None if it can. Never shows a password."""
    scheme = proxy.partition("://")[0].lower()
    if scheme != "http":
        return f"the scheme of the proxy is {scheme}, and spsd speaks to http proxies only"
    try:
        parse_source_url(proxy)
    except InvalidRequestBodyError as error:
        return str(error).replace("`url`", "the URL of the proxy").removesuffix(".")
    if urlsplit(proxy).path not in {"", "/"}:
        return "the URL of the proxy has a path"
    return None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _with_scheme(proxy: str) -> str | None:
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _covers(text: str, host: str) -> bool:
    """Whether an exception names the host: ``*``, itself, a domain above it, or its network."""
    if text == "*":
        return True
    network = _network(text)
    try:
        address = ip_address(host)
    except ValueError:
        name = text.lower().removeprefix(".").removesuffix(".")
        return host == name or host.endswith(f".{name}")
    return network is not None and address in network


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None
