"""Sends one request, directly to the origin or through the proxy.

There are two connectors. The one for origins applies the address policy where sockets are created.
The other connects to the proxy only; the operator has named it, so it may be on loopback.
Credentials are removed from both URLs before the client library gets them, so that no message of
the library can contain them. Sections are those of RFC 9110.
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
    """How one request is sent: the proxy's URL or None, TLS, and the time limit to connect."""

    proxy: str | None
    context: SSLContext
    connect_timeout_s: float


class OriginClient:
    """Two client sessions, for origins and for the proxy; :func:`open_client` owns them."""

    def __init__(
        self, direct: aiohttp.ClientSession, proxied: aiohttp.ClientSession, policy: Policy
    ) -> None:
        self._direct = direct
        self._proxied = proxied
        self._policy = policy

    async def send(
        self, method: Literal["GET", "HEAD"], url: str, fields: Mapping[str, str], route: Route
    ) -> aiohttp.ClientResponse:
        """Send one request and return its response, of which only the head is read.

        ``fields`` are sent as header fields. Redirects are not followed.

        Raises:
            OriginError: the proxy cannot be used (`proxy`), or the policy refuses the address that
                the proxy would connect to (`policy`).
            aiohttp.ClientError, OSError, ValueError: there is no response;
                :func:`~spsd.transfer.http.errors.as_origin_errors` translates them.
        """
        # Step 1: the credentials in the URL become Authorization (section 11.6.2); userinfo must
        # not be sent in the target URI (section 4.2.4).
        headers = dict(fields)
        if (credentials := authorization(url)) is not None:
            headers[hdrs.AUTHORIZATION] = credentials
        # The path is sent as it was written: a signature is over exactly these bytes.
        target = URL(without_credentials(url), encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=route.connect_timeout_s)
        # Step 2: without a proxy the request goes to the origin (section 7.3.3).
        if route.proxy is None:
            return await self._direct.request(
                method,
                target,
                headers=headers,
                ssl=route.context,
                timeout=timeout,
                allow_redirects=False,
            )
        # Step 3: through a proxy (section 7.3.2), only if both may be used.
        self._check(route.proxy, target)
        # Proxy-Authorization (section 11.7.2) is part of the request if the proxy forwards it, for
        # http. For https it is part of CONNECT (section 9.3.6) only: inside the tunnel it would
        # show the proxy's password to the origin.
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

    def _check(self, proxy: str, target: URL) -> None:
        if (problem := proxy_problem(proxy)) is not None:
            raise OriginError(FailureCode.PROXY, problem, transient=False)
        # The proxy looks up names, so their addresses are unknown here. A host that is an address
        # is judged before the proxy could connect to it.
        host = target.raw_host or ""
        if (why := self._policy().host_refusal(host)) is not None:
            what = f"connecting to {host} is not allowed: it is {why}"
            raise OriginError(FailureCode.POLICY, what, {"host": host}, transient=False)


@asynccontextmanager
async def open_client(
    policy: Policy, resolver: AbstractResolver | None = None
) -> AsyncIterator[OriginClient]:
    """Open the client's sessions, and close them at the end.

    ``policy`` is called for each connection to an origin, so that a change applies at once.
    ``resolver`` looks up the names of origins; None uses libc.
    """
    origin_resolver = InterruptibleResolver() if resolver is None else resolver
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(
            _session(
                aiohttp.TCPConnector(
                    limit=0,
                    force_close=True,
                    resolver=origin_resolver,
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
        yield OriginClient(direct, proxied, policy)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """A session that changes nothing: no content coding, no cookies, no proxy by environment.

    ``Accept-Encoding: identity`` (section 12.5.3) requests the plain bytes, over which the digest
    is.
    """
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": f"spsd/{__version__}"},
        response_class=TlsResponse,
        trust_env=False,
    )
