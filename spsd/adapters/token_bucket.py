"""A rate limit shared by every download of the daemon."""

import asyncio


class TokenBucket:
    """Lets ``rate`` bytes a second through, over any second; 0: no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes that have just come were within the limit."""
        if self._rate == 0:
            return
        now = asyncio.get_running_loop().time()
        # Taken before the wait: others queue up behind this share.
        self._free_at = max(self._free_at, now) + size / self._rate
        await asyncio.sleep(self._free_at - now)
