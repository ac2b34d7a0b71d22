"""Origins over HTTP: answers as heads and bodies, at the rate that the operator allows.

aiohttp's client is told to leave everything alone: no content coding (the digest is over the
object's own bytes), no cookies, no total time limit, and no redirects of its own, since each hop
has to be judged.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.origin_attempt import Attempt, Limits, OriginSettings, Proven, fields_of
from spsd.adapters.origin_body import body_of
from spsd.adapters.origin_client import OriginClient, open_client
from spsd.adapters.origin_tls import Trust
from spsd.adapters.token_bucket import TokenBucket
from spsd.domain.exchange import Ask, Reply
from spsd.domain.proxy import NO_PROXIES, ProxySettings
from spsd.domain.rate import RateWatch
from spsd.failures import FailureCode, OriginError

_FLUSH_S = 0.25
"""A slow origin's bytes are handed on after this long, so that they are counted and kept."""


class HttpAnswer:
    """An open response; its connection goes when the context that gave it ends."""

    def __init__(
        self, response: aiohttp.ClientResponse, limits: Limits, bucket: TokenBucket, proven: Proven
    ) -> None:
        self.reply = Reply(response.status, fields_of(response))
        self.evidence: dict[str, str | int] = {"status": response.status, **proven}
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
        self._watch.excuse(entered - self._left)
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
    async def open(self, url: str, ask: Ask) -> AsyncIterator[HttpAnswer]:
        """Send one GET, follow redirects, give the final answer's head.

        Raises:
            OriginError: there is no answer.
        """
        settings = self._settings
        response, proven = await Attempt(self._client, settings, ask).follow(url)
        try:
            yield HttpAnswer(response, settings.limits, self._bucket, proven)
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
