"""A rate limit shared by every download of the daemon."""

import asyncio


class TokenBucket:
    """Lets ``rate`` bytes a second through, over any second; 0: no limit.

    Bytes are numbered as they come. ``take`` waits for the number of its last one, and another
    rate only changes how fast the numbers are called.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._taken = 0.0
        self._passed = 0.0
        self._since = 0.0
        self._changed = asyncio.Event()

    def change(self, rate: int) -> None:
        """From now on it is another rate, for those that wait already too."""
        self._settle(asyncio.get_running_loop().time())
        self._rate = rate
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes that have just come were within the limit."""
        clock = asyncio.get_running_loop().time
        self._settle(clock())
        # Taken before the wait: others queue up behind this share.
        self._taken += size
        mine = self._taken
        while self._rate > 0 and self._passed < mine:
            changed = self._changed
            try:
                async with asyncio.timeout((mine - self._passed) / self._rate):
                    await changed.wait()
            except TimeoutError:
                pass
            self._settle(clock())

    def _settle(self, now: float) -> None:
        """Count what has passed. Time in which nobody waited is not saved up."""
        passed = self._passed + (now - self._since) * self._rate
        self._passed = min(self._taken, passed) if self._rate > 0 else self._taken
        self._since = now
