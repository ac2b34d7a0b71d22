"""Sends one request, straight to the origin or through the proxy, and renames what goes wrong.

Two connectors: the one that dials origins has the address policy where sockets are made; the
other dials nothing but the proxy, which the operator has named and which may therefore stand on
loopback. Credentials are taken out of both URLs before the client library sees them, so that
none of its messages can show them.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Literal

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from yarl import URL

from spsd import __version__
from spsd.failures import FailureCode, OriginError
from spsd.transfer.http.addresses import AddressPolicy, InterruptibleResolver
from spsd.transfer.http.tls import TlsResponse
from spsd.transfer.rules.proxy import proxy_problem
from spsd.transfer.rules.url import authorization, redacted, without_credentials

Policy = Callable[[], AddressPolicy]


@dataclass(frozen=True, slots=True)
class Route:
    """How one request is sent: the proxy's URL if there is one, TLS, and the wait to connect."""

    proxy: str | None
    context: SSLContext
    connect_timeout_s: float


class OriginClient:
    """Two client sessions; :func:`open_client` owns them."""

    def __init__(
        self, straight: aiohttp.ClientSession, proxied: aiohttp.ClientSession, policy: Policy
    ) -> None:
        self._straight = straight
        self._proxied = proxied
        self._policy = policy

    async def send(
        self, method: Literal["GET", "HEAD"], url: str, fields: Mapping[str, str], route: Route
    ) -> aiohttp.ClientResponse:
        """The answer's head. Credentials in ``url`` are sent as Basic.

        Raises:
            OriginError: proxy and target are not to be used.
            aiohttp.ClientError, OSError, ValueError: it cannot be had.
        """
        headers = dict(fields)
        if (credentials := authorization(url)) is not None:
            headers[hdrs.AUTHORIZATION] = credentials
        target = URL(without_credentials(url), encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=route.connect_timeout_s)
        if route.proxy is None:
            return await self._straight.request(
                method,
                target,
                headers=headers,
                ssl=route.context,
                timeout=timeout,
                allow_redirects=False,
            )
        self._judge(route.proxy, target)
        # A plain request is the proxy's own to read; through a tunnel goes nothing meant for it.
        password = authorization(route.proxy)
        for_proxy = {} if password is None else {hdrs.PROXY_AUTHORIZATION: password}
        plain = target.scheme != "https"
        return await self._proxied.request(
            method,
            target,
            headers=headers | for_proxy if plain else headers,
            proxy=URL(redacted(route.proxy)),
            proxy_headers=None if plain else for_proxy,
            ssl=route.context,
            timeout=timeout,
            allow_redirects=False,
        )

    def _judge(self, proxy: str, target: URL) -> None:
        if (problem := proxy_problem(proxy)) is not None:
            raise OriginError(FailureCode.PROXY, problem, transient=False)
        # Names are the proxy's to look up; an address is one whoever dials it.
        host = target.raw_host or ""
        if (why := self._policy().refuses_host(host)) is not None:
            what = f"connecting to {host} is not allowed: it is {why}"
            raise OriginError(FailureCode.POLICY, what, {"host": host}, transient=False)


@asynccontextmanager
async def open_client(
    policy: Policy, resolver: AbstractResolver | None = None
) -> AsyncIterator[OriginClient]:
    """The sessions of the daemon. ``policy`` is asked whenever an origin is dialled."""
    looking_up = InterruptibleResolver() if resolver is None else resolver
    async with AsyncExitStack() as stack:
        straight = await stack.enter_async_context(
            _session(
                aiohttp.TCPConnector(
                    limit=0,
                    force_close=True,
                    resolver=looking_up,
                    socket_factory=lambda info: policy().socket(info),
                    use_dns_cache=False,
                )
            )
        )
        proxied = await stack.enter_async_context(
            _session(
                aiohttp.TCPConnector(
                    limit=0, force_close=True, resolver=InterruptibleResolver(), use_dns_cache=False
                )
            )
        )
        yield OriginClient(straight, proxied, policy)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """Leaves everything alone: no content coding, no cookies, no proxies of its own accord."""
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": f"spsd/{__version__}"},
        response_class=TlsResponse,
        trust_env=False,
    )
