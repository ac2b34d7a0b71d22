"""Origins over HTTP: a request with its redirects, proxy and TLS, and the response's body.

aiohttp's client is told to leave everything alone: no content coding (the digest is over the
object's own bytes), no cookies, no total time limit, and no redirects of its own, since each hop
has to be judged.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from spsd.failures import FailureCode, OriginError
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.body import body_of
from spsd.transfer.http.client import OriginClient, Route, open_client
from spsd.transfer.http.errors import address_of, as_origin_errors, proxy_refusal
from spsd.transfer.http.tls import (
    Trust,
    expired_or_not_yet_valid,
    time_evidence,
    tls_evidence,
    tls_reason,
    validity,
)
from spsd.transfer.http.token_bucket import TokenBucket
from spsd.transfer.rules import redirect
from spsd.transfer.rules.messages import RangeRequest, ResponseHead
from spsd.transfer.rules.proxy import NO_PROXIES, ProxySettings, proxy_for
from spsd.transfer.rules.stall import RateWatch
from spsd.transfer.rules.url import without_credentials

ConnectionEvidence = dict[str, str | int]
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


class RedirectChain:
    """One request with all its redirects, under the settings of the moment it began."""

    def __init__(
        self, client: OriginClient, settings: OriginSettings, request: RangeRequest
    ) -> None:
        self._client = client
        self._settings = settings
        self._request = request

    async def follow(self, url: str) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        """The final answer's head, and the evidence of the way to it.

        Raises:
            OriginError: there is no answer.
        """
        hops = 0
        strict = self._settings.trust.digest_only is None
        while True:
            response, evidence = await self._get(url)
            if response.status not in redirect.STATUSES:
                return response, evidence
            response.close()
            url = redirect.follow(url, fields_of(response), hops=hops, secure_only=strict)
            hops += 1

    async def _get(self, url: str) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        limits = self._settings.limits
        proxy = proxy_for(url, self._settings.proxies)
        with as_origin_errors(url, proxy):
            async with asyncio.timeout(limits.connect_timeout_s + limits.stall_window_s):
                response, evidence = await self._with_evidence(url, proxy)
        if proxy is None:
            return response, evidence
        name = address_of(proxy)
        # What comes through a tunnel is the origin's own, whatever it says.
        if response.status == 407 and not _is_secure(url):
            response.close()
            raise proxy_refusal(407, {"host": urlsplit(url).hostname or "", "proxy": name})
        return response, {**evidence, "proxy": name}

    async def _with_evidence(
        self, url: str, proxy: str | None
    ) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        trust = self._settings.trust
        try:
            response = await self._send("GET", url, proxy, trust.verifying)
            return response, {"tls": "verified", **tls_evidence(response)} if _is_secure(
                url
            ) else {}
        except aiohttp.ClientConnectorCertificateError as error:
            failure = error
        reason, on_time = tls_reason(failure), expired_or_not_yet_valid(failure)
        if trust.digest_only is None:
            host = urlsplit(url).hostname or ""
            evidence = {"host": host} | (
                await self._certificate_dates(url, proxy) if on_time else {}
            )
            what = f"TLS with {host} failed: {reason}"
            raise OriginError(FailureCode.TLS, what, evidence) from failure
        response = await self._send("GET", url, proxy, trust.digest_only)
        dates = _dates(response) if on_time else {}
        return response, {"tls": f"not verified ({reason})", **tls_evidence(response), **dates}

    async def _certificate_dates(self, url: str, proxy: str | None) -> ConnectionEvidence:
        """The dates of a certificate that is not trusted: nothing is asked of that origin.

        Neither path nor query nor credentials go there, and what it says is only told.
        """
        try:
            root = urlunsplit(
                urlsplit(without_credentials(url))._replace(path="/", query="", fragment="")
            )
            response = await self._send("HEAD", root, proxy, self._settings.trust.inspecting)
        except (aiohttp.ClientError, OSError, ValueError):
            return time_evidence(None, ours=datetime.now(UTC), date=None)
        response.close()
        return _dates(response)

    async def _send(
        self, method: Literal["GET", "HEAD"], url: str, proxy: str | None, context: ssl.SSLContext
    ) -> aiohttp.ClientResponse:
        fields = self._request.headers() if method == "GET" else {}
        route = Route(proxy, context, self._settings.limits.connect_timeout_s)
        return await self._client.send(method, url, fields, route)


def fields_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The header fields of an answer, by names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def _dates(response: aiohttp.ClientResponse) -> ConnectionEvidence:
    date = response.headers.get("date")
    return time_evidence(validity(response), ours=datetime.now(UTC), date=date)


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"


_FLUSH_S = 0.25
"""A slow origin's bytes are handed on after this long, so that they are counted and kept."""


class HttpResponse:
    """An open response; its connection goes when the context that gave it ends."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        limits: Limits,
        bucket: TokenBucket,
        evidence: ConnectionEvidence,
    ) -> None:
        self.head = ResponseHead(response.status, fields_of(response))
        self.evidence: dict[str, str | int] = {"status": response.status, **evidence}
        self._limits = limits
        self._bucket = bucket
        self._clock = asyncio.get_running_loop().time
        self._left = self._clock()
        self._watch = RateWatch(
            minimum_bytes_per_s=limits.minimum_bytes_per_s,
            window_s=limits.stall_window_s,
            now=self._left,
        )
        self._owed = 0
        self._response = response
        self._body = body_of(response)

    async def read_into(self, room: memoryview) -> int:
        """Read the body's next bytes to the beginning of ``room``; how many, 0 at the body's end.

        It fills the room, or returns after a quarter of a second with the bytes that came.

        Raises:
            OriginError: it ends early, or is slower than the minimum rate. What came before has
                been returned by earlier calls.
        """
        # What has come is with the caller already, who keeps it while we wait for our share.
        await self._bucket.take(self._owed)
        entered = self._clock()
        self._watch.exclude_time(entered - self._left)
        stalls_at = self._watch.deadline
        size = await self._body.fill(
            room, least=len(room), until=min(entered + _FLUSH_S, stalls_at)
        )
        if size == 0 and not self._body.over:
            size = await self._body.fill(room, least=1, until=stalls_at)
        if size == 0 and not self._body.over:
            raise self._stalled()
        self._left, self._owed = self._clock(), size
        self._watch.count(size, self._left)
        return size

    def close(self) -> None:
        """Have no more of it sent; nothing is read after that."""
        self._response.close()

    def _stalled(self) -> OriginError:
        limits = self._limits
        what = (
            f"the origin sent less than {limits.minimum_bytes_per_s} bytes a second "
            f"over {limits.stall_window_s:g} s"
        )
        return OriginError(FailureCode.STALL, what)


class HttpOrigin:
    """Asks origins through one client, which :func:`open_origin` owns.

    What :meth:`use` is given holds from the next attempt on. Two things change at once: the rate,
    under the downloads that run, and what may be dialled.
    """

    def __init__(self, client: OriginClient, settings: OriginSettings) -> None:
        self._client = client
        self._settings = settings
        self._bucket = TokenBucket(settings.limits.rate_limit_bytes_per_s)

    @property
    def policy(self) -> AddressPolicy:
        """What may be dialled now."""
        return self._settings.policy

    def use(self, settings: OriginSettings) -> None:
        """Go on with other settings."""
        self._settings = settings
        self._bucket.change(settings.limits.rate_limit_bytes_per_s)

    @asynccontextmanager
    async def open(self, url: str, request: RangeRequest) -> AsyncIterator[HttpResponse]:
        """Send one GET, follow redirects, give the final answer's head.

        Raises:
            OriginError: there is no answer.
        """
        settings = self._settings
        response, evidence = await RedirectChain(self._client, settings, request).follow(url)
        try:
            yield HttpResponse(response, settings.limits, self._bucket, evidence)
        finally:
            response.close()


@asynccontextmanager
async def open_origin(
    policy: AddressPolicy,
    trust: Trust,
    limits: Limits,
    proxies: ProxySettings = NO_PROXIES,
    *,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[HttpOrigin]:
    """The daemon's way to every origin; ``resolver`` looks their names up."""
    settings = OriginSettings(policy, trust, limits, proxies)
    async with open_client(lambda: origin.policy, resolver) as client:
        origin = HttpOrigin(client, settings)
        yield origin
