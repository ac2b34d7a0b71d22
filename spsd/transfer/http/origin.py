"""Origins over HTTP: a request with its redirects, proxy and TLS, and the response's body.

aiohttp's client is configured to change nothing: no content coding (the digest is over the object's
own bytes), no cookies, no total time limit, and no redirects of its own, because each redirect has
to be judged. Sections are those of RFC 9110.
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
from spsd.transfer.http.body import open_body
from spsd.transfer.http.client import OriginClient, Route, open_client
from spsd.transfer.http.errors import as_origin_errors, proxy_refusal
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
from spsd.transfer.rules.stall import RateMonitor
from spsd.transfer.rules.url import authority, without_credentials

ConnectionEvidence = dict[str, str | int]
"""Facts about the connection: what TLS verified, and the proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The time limits and rates of a transfer.

    ``connect_timeout_s`` applies to each connection. A body slower than ``minimum_bytes_per_s``,
    averaged over ``stall_window_s``, is a stall. ``rate_limit_bytes_per_s`` is shared by all
    downloads; 0 means no limit.
    """

    connect_timeout_s: float
    minimum_bytes_per_s: int
    stall_window_s: float
    rate_limit_bytes_per_s: int


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """All settings of requests to origins."""

    policy: AddressPolicy
    trust: Trust
    limits: Limits
    proxies: ProxySettings


class RedirectChain:
    """One request with all its redirects, under the settings at the time it began."""

    def __init__(
        self, client: OriginClient, settings: OriginSettings, request: RangeRequest
    ) -> None:
        self._client = client
        self._settings = settings
        self._request = request

    async def follow(self, url: str) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        """Send the request to ``url``, and follow redirects.

        Returns the final response, of which the head is read, and the facts about its connection.

        Raises:
            OriginError: there is no usable response; its code says why.
        """
        hops = 0
        strict = self._settings.trust.digest_only is None
        while True:
            # Step 1: send the request, with its Range fields (section 14.2), to the current URL.
            response, evidence = await self._get(url)
            # Step 2: any status but a redirect (section 15.4) is the final response.
            if response.status not in redirect.STATUSES:
                return response, evidence
            # Step 3: Location is resolved and judged (sections 10.2.2 and 15.4). The content of a
            # redirect is a note for people, and is not read.
            response.close()
            url = redirect.follow(url, fields_of(response), hops=hops, secure_only=strict)
            hops += 1

    async def _get(self, url: str) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        # Step 1: select the proxy, by the URL's scheme and the exceptions.
        limits = self._settings.limits
        proxy = proxy_for(url, self._settings.proxies)
        # Step 2: connect, send, and wait for the head, within the time limits.
        with as_origin_errors(url, proxy):
            async with asyncio.timeout(limits.connect_timeout_s + limits.stall_window_s):
                response, evidence = await self._with_evidence(url, proxy)
        if proxy is None:
            return response, evidence
        # Step 3: a 407 is the proxy's own response (section 15.5.8), unless it came through a
        # tunnel (CONNECT, section 9.3.6): the bytes of a tunnel are the origin's.
        name = authority(proxy)
        if response.status == 407 and not _is_secure(url):
            response.close()
            raise proxy_refusal(407, {"host": urlsplit(url).hostname or "", "proxy": name})
        return response, {**evidence, "proxy": name}

    async def _with_evidence(
        self, url: str, proxy: str | None
    ) -> tuple[aiohttp.ClientResponse, ConnectionEvidence]:
        # Step 1: send the request with certificate verification (section 4.3.4).
        trust = self._settings.trust
        try:
            response = await self._send("GET", url, proxy, trust.verifying)
            evidence: ConnectionEvidence = {"tls": "verified", **tls_evidence(response)}
            return response, evidence if _is_secure(url) else {}
        except aiohttp.ClientConnectorCertificateError as error:
            failure = error
        reason, is_date_error = tls_reason(failure), expired_or_not_yet_valid(failure)
        # Step 2: under `[fetch] tls = "strict"` a certificate that is not accepted is a failure.
        if trust.digest_only is None:
            host = urlsplit(url).hostname or ""
            dates = await self._certificate_dates(url, proxy) if is_date_error else {}
            what = f"TLS with {host} failed: {reason}"
            raise OriginError(FailureCode.TLS, what, {"host": host, **dates}) from failure
        # Step 3: otherwise the request is sent without verification; the digest verifies the bytes.
        response = await self._send("GET", url, proxy, trust.digest_only)
        dates = _dates(response) if is_date_error else {}
        return response, {"tls": f"not verified ({reason})", **tls_evidence(response), **dates}

    async def _certificate_dates(self, url: str, proxy: str | None) -> ConnectionEvidence:
        """The dates of a certificate that is not accepted, from a HEAD request for ``/``.

        Path, query and credentials of ``url`` are not sent to that origin, and its response is used
        for nothing but the evidence.
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
    """The header fields of a response, with names in lower case (names: section 5.1).

    An ETag with bytes that are no UTF-8, or with control characters, is left out: it could neither
    be stored nor sent back. Such bytes in other fields are replaced.
    """
    fields = {name.lower(): value for name, value in response.headers.items()}
    if not fields.get("etag", "").isprintable():
        del fields["etag"]
    return {
        name: value.encode(errors="surrogateescape").decode(errors="replace")
        for name, value in fields.items()
    }


def _dates(response: aiohttp.ClientResponse) -> ConnectionEvidence:
    date = response.headers.get("date")
    return time_evidence(validity(response), ours=datetime.now(UTC), date=date)


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"


_FLUSH_S = 0.25
"""After this time a slow origin's bytes are returned, so that they are counted and written."""


class HttpResponse:
    """An open response: see :class:`spsd.transfer.ports.OriginResponse`.

    Its connection is closed when the context of :meth:`HttpOrigin.open` ends.
    """

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
        self._returned_at = self._clock()
        self._monitor = RateMonitor(
            minimum_bytes_per_s=limits.minimum_bytes_per_s,
            window_s=limits.stall_window_s,
            now=self._returned_at,
        )
        self._unpaid = 0
        self._response = response
        self._body = open_body(response)

    async def read_into(self, buffer: memoryview) -> int:
        """Read the body's next bytes into ``buffer``; returns how many, 0 at the body's end.

        The call fills the buffer, or returns after a quarter of a second with the bytes that
        arrived.

        Raises:
            OriginError: the body ended early (`cut_off`), or is slower than the minimum rate
                (`stall`). All bytes before were returned by earlier calls.
        """
        # Step 1: wait until the rate limit allows the bytes of the previous call. They are not
        # delayed by this: the caller has them already.
        await self._bucket.take(self._unpaid)
        # Step 2: the time since the previous call was ours, and not the origin's.
        entered = self._clock()
        self._monitor.exclude_time(entered - self._returned_at)
        # Step 3: read until the buffer is full or the flush time is over.
        stalls_at = self._monitor.deadline
        size = await self._body.fill(
            buffer, minimum=len(buffer), until=min(entered + _FLUSH_S, stalls_at)
        )
        # Step 4: if nothing has arrived by then, wait for the first byte, up to the stall deadline.
        if size == 0 and not self._body.is_exhausted:
            size = await self._body.fill(buffer, minimum=1, until=stalls_at)
        if size == 0 and not self._body.is_exhausted:
            raise self._stalled()
        self._returned_at, self._unpaid = self._clock(), size
        self._monitor.count(size, self._returned_at)
        return size

    def close(self) -> None:
        """Close the connection; nothing may be read after that."""
        self._response.close()

    def _stalled(self) -> OriginError:
        limits = self._limits
        what = (
            f"the origin sent less than {limits.minimum_bytes_per_s} bytes a second "
            f"over {limits.stall_window_s:g} s"
        )
        return OriginError(FailureCode.STALL, what)


class HttpOrigin:
    """Sends requests to origins through one client, which :func:`open_origin` owns.

    Settings of :meth:`change_settings` apply from the next request on. Two of them apply at once,
    also to running downloads: the rate limit, and the addresses that may be connected to.
    """

    def __init__(self, client: OriginClient, settings: OriginSettings) -> None:
        self._client = client
        self._settings = settings
        self._bucket = TokenBucket(settings.limits.rate_limit_bytes_per_s)

    @property
    def policy(self) -> AddressPolicy:
        """The addresses that may be connected to now."""
        return self._settings.policy

    def change_settings(self, settings: OriginSettings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._bucket.change(settings.limits.rate_limit_bytes_per_s)

    @asynccontextmanager
    async def open(self, url: str, request: RangeRequest) -> AsyncIterator[HttpResponse]:
        """Send one GET, follow redirects, and return the final response with its body unread.

        Raises:
            OriginError: there is no usable response; its code says why.
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
    """Open the client for all origins, and close it at the end.

    ``resolver`` looks up the names of origins; None uses libc.
    """
    settings = OriginSettings(policy, trust, limits, proxies)
    async with open_client(lambda: origin.policy, resolver) as client:
        origin = HttpOrigin(client, settings)
        yield origin
