"""TODO."""

import asyncio
import time

from spsd.system.loop_thread import DOWNLOADS, REQUESTS, open_loop_thread, watch_lag
from testbed.waiting import until

BUSY_S = 0.4
"""Longer than there is between two looks. On a busy machine a look may miss it all the same."""


async def test_a_loop_that_is_kept_busy_is_late():
    lags = []

    def seen(loop, at_least):
        return any(name == loop and lag >= at_least for name, lag in lags)

    async def dawdle():
        end = time.monotonic() + BUSY_S
        while time.monotonic() < end:
            pass

    async with open_loop_thread("spsd-lag") as thread, asyncio.timeout(30):
        look = watch_lag(thread, lambda *told: lags.append(told), every_s=BUSY_S / 2)
        watching = asyncio.create_task(look)
        await until(lambda: seen(REQUESTS, 0) and seen(DOWNLOADS, 0))
        while not seen(DOWNLOADS, BUSY_S / 4):
            await thread.run(dawdle())
        while not seen(REQUESTS, BUSY_S / 4):
            await dawdle()
            await asyncio.sleep(0)  # the look that is due
        watching.cancel()
        await asyncio.wait([watching])
    assert watching.cancelled()
