"""One request to an origin with all that belongs to it: redirects, the proxy, and TLS.

:mod:`spsd.adapters.origin_client` sends what is decided here.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.origin_client import OriginClient, Route
from spsd.adapters.origin_errors import address_of, as_origin_errors, proxy_refusal
from spsd.adapters.origin_tls import Trust, failed_on_time, proof, tls_reason, validity
from spsd.domain import redirect
from spsd.domain.certificate_time import time_evidence
from spsd.domain.exchange import Ask
from spsd.domain.proxy import ProxySettings, proxy_for
from spsd.domain.source import displayed
from spsd.failures import FailureCode, OriginError

Proven = dict[str, str | int]
"""Evidence of the way: what TLS proved, and the proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long an origin may take, and how fast it may be."""

    connect_timeout_s: float
    minimum_bytes_per_s: int
    stall_window_s: float
    rate_limit_bytes_per_s: int


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """All that decides how origins are asked."""

    policy: AddressPolicy
    trust: Trust
    limits: Limits
    proxies: ProxySettings


class Attempt:
    """One request with all its redirects, under the settings of the moment it began."""

    def __init__(self, client: OriginClient, settings: OriginSettings, ask: Ask) -> None:
        self._client = client
        self._settings = settings
        self._ask = ask

    async def follow(self, url: str) -> tuple[aiohttp.ClientResponse, Proven]:
        """The final answer's head, and the evidence of the way to it.

        Raises:
            OriginError: there is no answer.
        """
        hops = 0
        strict = self._settings.trust.digest_only is None
        while True:
            response, proven = await self._get(url)
            if response.status not in redirect.STATUSES:
                return response, proven
            response.close()
            url = redirect.follow(url, fields_of(response), hops=hops, secure_only=strict)
            hops += 1

    async def _get(self, url: str) -> tuple[aiohttp.ClientResponse, Proven]:
        limits = self._settings.limits
        proxy = proxy_for(url, self._settings.proxies)
        with as_origin_errors(url, proxy):
            async with asyncio.timeout(limits.connect_timeout_s + limits.stall_window_s):
                response, proven = await self._proven(url, proxy)
        if proxy is None:
            return response, proven
        name = address_of(proxy)
        # What comes through a tunnel is the origin's own, whatever it says.
        if response.status == 407 and not _is_secure(url):
            response.close()
            raise proxy_refusal(407, {"host": urlsplit(url).hostname or "", "proxy": name})
        return response, {**proven, "proxy": name}

    async def _proven(self, url: str, proxy: str | None) -> tuple[aiohttp.ClientResponse, Proven]:
        trust = self._settings.trust
        try:
            response = await self._send("GET", url, proxy, trust.verifying)
            return response, {"tls": "verified", **proof(response)} if _is_secure(url) else {}
        except aiohttp.ClientConnectorCertificateError as error:
            failure = error
        reason, on_time = tls_reason(failure), failed_on_time(failure)
        if trust.digest_only is None:
            host = urlsplit(url).hostname or ""
            evidence = {"host": host} | (await self._looked(url, proxy) if on_time else {})
            what = f"TLS with {host} failed: {reason}"
            raise OriginError(FailureCode.TLS, what, evidence) from failure
        response = await self._send("GET", url, proxy, trust.digest_only)
        dates = _dates(response) if on_time else {}
        return response, {"tls": f"not verified ({reason})", **proof(response), **dates}

    async def _looked(self, url: str, proxy: str | None) -> Proven:
        """The dates of a certificate that is not trusted: nothing is asked of that origin.

        Neither path nor query nor credentials go there, and what it says is only told.
        """
        try:
            root = urlunsplit(urlsplit(displayed(url))._replace(path="/", query="", fragment=""))
            response = await self._send("HEAD", root, proxy, self._settings.trust.looking)
        except (aiohttp.ClientError, OSError, ValueError):
            return time_evidence(None, ours=datetime.now(UTC), date=None)
        response.close()
        return _dates(response)

    async def _send(
        self, method: Literal["GET", "HEAD"], url: str, proxy: str | None, context: ssl.SSLContext
    ) -> aiohttp.ClientResponse:
        fields = self._ask.headers() if method == "GET" else {}
        route = Route(proxy, context, self._settings.limits.connect_timeout_s)
        return await self._client.send(method, url, fields, route)


def fields_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The header fields of an answer, by names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def _dates(response: aiohttp.ClientResponse) -> Proven:
    date = response.headers.get("date")
    return time_evidence(validity(response), ours=datetime.now(UTC), date=date)


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"
