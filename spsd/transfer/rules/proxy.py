"""Which proxy a request is sent through: by the rules of curl and its environment variables. Pure.

There is no RFC for ``http_proxy`` and ``no_proxy``; the rules are those of curl's manual.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from spsd.errors import InvalidRequestBodyError
from spsd.transfer.rules.url import parse_source_url

_SEPARATOR = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxy's URL for each scheme, None for no proxy.

    ``direct`` lists the hosts, domains and networks that are requested without a proxy.
    """

    http: str | None = None
    https: str | None = None
    direct: tuple[str, ...] = ()


NO_PROXIES = ProxySettings()


def proxy_settings(
    proxy: str | None, no_proxy: Sequence[str] | None, environ: Mapping[str, str]
) -> ProxySettings:
    """The proxies in effect: the settings have priority over the environment, as in curl.

    ``proxy`` is the setting; None leaves the choice to the variables ``http_proxy``,
    ``https_proxy`` and ``all_proxy``, and ``""`` means no proxy. ``no_proxy`` is the setting; None
    leaves the exceptions to the variable ``no_proxy``, also if the proxy is a setting. A variable
    in upper case counts if the one in lower case is not set, except HTTP_PROXY: in a CGI program
    that variable contains the request field ``Proxy:`` of a client.
    """
    direct = _SEPARATOR.split(_variable(environ, "no_proxy")) if no_proxy is None else no_proxy
    if proxy is not None:
        http = https = proxy
    else:
        all_proxy = _variable(environ, "all_proxy")
        http = environ.get("http_proxy") or all_proxy
        https = _variable(environ, "https_proxy") or all_proxy
    exceptions = tuple(text for text in direct if text)
    return ProxySettings(_with_scheme(http), _with_scheme(https), exceptions)


def proxy_for(url: str, settings: ProxySettings) -> str | None:
    """The URL of the proxy for a request to ``url``; None if the origin is connected directly."""
    # Step 1: the scheme of the requested URL selects the proxy.
    parts = urlsplit(url)
    proxy = settings.https if parts.scheme == "https" else settings.http
    # Step 2: an exception that covers the host overrides it.
    host = (parts.hostname or "").removesuffix(".")
    return None if any(_covers(text, host) for text in settings.direct) else proxy


def exception_problem(text: str) -> str | None:
    """Why an item of ``[fetch] no_proxy`` is not valid; None if it is."""
    if not text or _SEPARATOR.search(text):
        return f"{text!r} is no host, no domain and no network"
    if "/" in text and _network(text) is None:
        return f"{text!r} is no network"
    return None


def proxy_problem(proxy: str) -> str | None:
    """Why spsd cannot use the proxy; None if it can. The text contains no password."""
    scheme = proxy.partition("://")[0].lower()
    if scheme != "http":
        return f"the scheme of the proxy is {scheme}, and spsd supports http proxies only"
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
    """Whether an exception covers the host.

    An exception is ``*``, the host itself, a domain above it (with or without a leading dot), or a
    network that contains its address.
    """
    # Rule 1: "*" covers every host.
    if text == "*":
        return True
    # Rule 2: a name covers itself and the names below it; it is compared without case and dots at
    # the ends. Rule 3: an address or a network covers addresses only.
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
