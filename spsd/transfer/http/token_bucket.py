"""A rate limit shared by every download of the daemon."""

import asyncio


class TokenBucket:
    """Limits the rate to ``rate`` bytes per second, without bursts; 0 means no limit.

    Bytes are numbered in the order of the calls of ``take``. A counter grows by ``rate`` per
    second, and ``take`` waits until it reaches the number of its last byte. Another rate only
    changes how fast the counter grows.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._taken = 0.0
        self._passed = 0.0
        self._since = 0.0
        self._changed = asyncio.Event()

    def change(self, rate: int) -> None:
        """Change the rate from now on, also for calls that wait already."""
        self._settle(asyncio.get_running_loop().time())
        self._rate = rate
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes, received just now, are within the limit.

        A cancelled call still uses its share: its bytes were received.
        """
        clock = asyncio.get_running_loop().time
        self._settle(clock())
        # Numbered before the wait: later calls get the numbers after these.
        self._taken += size
        last = self._taken
        while self._rate > 0 and self._passed < last:
            changed = self._changed
            try:
                async with asyncio.timeout((last - self._passed) / self._rate):
                    await changed.wait()
            except TimeoutError:
                pass
            self._settle(clock())

    def _settle(self, now: float) -> None:
        """Advance the counter to ``now``, at most to the bytes taken: idle time is not saved up."""
        passed = self._passed + (now - self._since) * self._rate
        self._passed = min(self._taken, passed) if self._rate > 0 else self._taken
        self._since = now
