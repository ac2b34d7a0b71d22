"""Origins over HTTP: redirects, TLS that proves or fails, and bodies as blocks.

aiohttp's client is told to leave everything alone: no content coding (the digest is over the
object's own bytes), no cookies, no total time limit, and no redirects of its own, since each hop
has to be judged. :mod:`spsd.adapters.origin_client` sends the requests.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.origin_client import OriginClient, Route, open_client
from spsd.adapters.origin_errors import address_of, as_origin_errors, proxy_refusal
from spsd.adapters.origin_tls import Trust, failed_on_time, proof, tls_reason, validity
from spsd.adapters.token_bucket import TokenBucket
from spsd.domain import redirect
from spsd.domain.certificate_time import time_evidence
from spsd.domain.failure import FailureCode, OriginError
from spsd.domain.proxy import NO_PROXIES, ProxySettings, proxy_for
from spsd.domain.rate import RateWatch
from spsd.domain.resume import Ask, Reply
from spsd.domain.source import displayed

Proven = dict[str, str | int]
"""Evidence of the way: what TLS proved, and the proxy."""

BLOCK = 1024 * 1024
_FLUSH_S = 0.25
"""A slow origin's bytes are handed on after this long, so that they are counted and kept."""


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


class HttpAnswer:
    """An open response; its connection goes when the context that gave it ends."""

    def __init__(
        self, response: aiohttp.ClientResponse, limits: Limits, bucket: TokenBucket, proven: Proven
    ) -> None:
        self.reply = Reply(response.status, _joined(response))
        self.evidence: dict[str, str | int] = {"status": response.status, **proven}
        self._response = response
        self._limits = limits
        self._bucket = bucket

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The body, gathered to blocks of about 1 MiB, or less when bytes come slowly.

        Raises:
            OriginError: it ends early, or is slower than the minimum rate.
        """
        clock = asyncio.get_running_loop().time
        watch = RateWatch(
            minimum_bytes_per_s=self._limits.minimum_bytes_per_s,
            window_s=self._limits.stall_window_s,
            now=clock(),
        )
        parts: list[bytes] = []
        size, since = 0, clock()
        try:
            while part := await self._read(watch):
                now = clock()
                watch.count(len(part), now)
                parts.append(part)
                size += len(part)
                if size >= BLOCK or now - since >= _FLUSH_S:
                    yield b"".join(parts)
                    await self._bucket.take(size)
                    watch.excuse(clock() - now)
                    parts, size, since = [], 0, clock()
        except OriginError:
            # What has come is worth keeping: the next attempt goes on from there. aiohttp (3.14)
            # raises before it hands out what its buffer holds, and has no public way to it.
            parts.append(self._response.content._read_nowait(-1))
            if rest := b"".join(parts):
                yield rest
            raise
        if parts:
            yield b"".join(parts)

    async def _read(self, watch: RateWatch) -> bytes:
        with as_origin_errors(str(self._response.url)):
            try:
                async with asyncio.timeout_at(watch.deadline):
                    return await self._response.content.readany()
            except TimeoutError as error:
                limits = self._limits
                what = (
                    f"the origin sent less than {limits.minimum_bytes_per_s} bytes a second "
                    f"over {limits.stall_window_s:g} s"
                )
                raise OriginError(FailureCode.STALL, what) from error


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
    async def open(self, url: str, ask: Ask) -> AsyncIterator[HttpAnswer]:
        """Send one GET, follow redirects, give the final answer's head.

        Raises:
            OriginError: there is no answer.
        """
        settings = self._settings
        response, proven = await _Attempt(self._client, settings, ask).follow(url)
        try:
            yield HttpAnswer(response, settings.limits, self._bucket, proven)
        finally:
            response.close()


class _Attempt:
    """One request with all its redirects, under the settings of the moment it began."""

    def __init__(self, client: OriginClient, settings: OriginSettings, ask: Ask) -> None:
        self._client = client
        self._settings = settings
        self._ask = ask

    async def follow(self, url: str) -> tuple[aiohttp.ClientResponse, Proven]:
        hops = 0
        strict = self._settings.trust.digest_only is None
        while True:
            response, proven = await self._get(url)
            if response.status not in redirect.STATUSES:
                return response, proven
            response.close()
            url = redirect.follow(url, _joined(response), hops=hops, secure_only=strict)
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
        if response.status == 407:
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


def _dates(response: aiohttp.ClientResponse) -> Proven:
    date = response.headers.get("date")
    return time_evidence(validity(response), ours=datetime.now(UTC), date=date)


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
