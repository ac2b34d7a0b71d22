"""Origins over HTTP, by aiohttp's client.

The client is told to leave everything alone: no content coding (the digest is over the object's
own bytes), no cookies, no total time limit, and no redirects of its own, since each hop has to be
judged. The address policy sits where sockets are made.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from spsd import __version__
from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.origin_errors import as_origin_errors, tls_reason
from spsd.adapters.resolver import InterruptibleResolver
from spsd.adapters.token_bucket import TokenBucket
from spsd.domain import redirect
from spsd.domain.exchange import Ask, Reply
from spsd.domain.failure import FailureCode, OriginError
from spsd.domain.rate import RateWatch

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
class Trust:
    """TLS contexts: one that verifies, and one for where the digest is proof enough."""

    verifying: ssl.SSLContext
    digest_only: ssl.SSLContext | None

    @classmethod
    def of(cls, policy: str, ca_file: Path | None) -> "Trust":
        """For ``[fetch] tls``: ``strict`` never goes on without verification."""
        verifying = ssl.create_default_context(cafile=ca_file)
        if policy == "strict":
            return cls(verifying, None)
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return cls(verifying, unverified)


class HttpAnswer:
    """An open response; its connection goes when the context that gave it ends."""

    def __init__(
        self, response: aiohttp.ClientResponse, limits: Limits, bucket: TokenBucket, tls: str | None
    ) -> None:
        self.reply = Reply(response.status, _joined(response))
        self.evidence: dict[str, str | int] = {"status": response.status} | (
            {"tls": tls} if tls else {}
        )
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
    """Sends requests through one session, which :func:`open_origin` owns."""

    def __init__(self, session: aiohttp.ClientSession, trust: Trust, limits: Limits) -> None:
        self._session = session
        self._trust = trust
        self._limits = limits
        self._bucket = TokenBucket(limits.rate_limit_bytes_per_s)

    @asynccontextmanager
    async def open(self, url: str, ask: Ask) -> AsyncIterator[HttpAnswer]:
        """Send one GET, follow redirects, give the final answer's head.

        Raises:
            OriginError: there is no answer.
        """
        response, tls = await self._follow(url, ask)
        try:
            yield HttpAnswer(response, self._limits, self._bucket, tls)
        finally:
            response.close()

    async def _follow(self, url: str, ask: Ask) -> tuple[aiohttp.ClientResponse, str | None]:
        hops = 0
        while True:
            response, tls = await self._get(url, ask)
            if response.status not in redirect.STATUSES:
                return response, tls
            response.close()
            url = redirect.follow(
                url, _joined(response), hops=hops, secure_only=self._trust.digest_only is None
            )
            hops += 1

    async def _get(self, url: str, ask: Ask) -> tuple[aiohttp.ClientResponse, str | None]:
        limits = self._limits
        with as_origin_errors(url):
            async with asyncio.timeout(limits.connect_timeout_s + limits.stall_window_s):
                if not url.startswith("https:"):
                    return await self._send(url, ask, self._trust.verifying), None
                try:
                    return await self._send(url, ask, self._trust.verifying), "verified"
                except aiohttp.ClientConnectorCertificateError as error:
                    if self._trust.digest_only is None:
                        raise
                    reason = tls_reason(error)
                response = await self._send(url, ask, self._trust.digest_only)
                return response, f"not verified ({reason})"

    async def _send(self, url: str, ask: Ask, context: ssl.SSLContext) -> aiohttp.ClientResponse:
        return await self._session.get(
            URL(url, encoded=True), headers=ask.headers(), ssl=context, allow_redirects=False
        )


@asynccontextmanager
async def open_origin(
    policy: AddressPolicy, trust: Trust, limits: Limits
) -> AsyncIterator[HttpOrigin]:
    """The one client session of the daemon."""
    connector = aiohttp.TCPConnector(
        limit=0,
        force_close=True,
        resolver=InterruptibleResolver(),
        socket_factory=policy.socket,
        use_dns_cache=False,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout_s),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": f"spsd/{__version__}"},
    ) as session:
        yield HttpOrigin(session, trust, limits)


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
