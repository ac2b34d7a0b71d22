import asyncio
import time

from spsd.adapters.loop_lag import watch_lag
from spsd.adapters.loop_thread import open_loop_thread
from spsd.services.meter import DOWNLOADS, REQUESTS
from tests.waiting import until


async def seen(lags, loop, at_least):
    await until(lambda: any(name == loop and lag >= at_least for name, lag in lags))


async def test_a_loop_that_is_kept_busy_is_late():
    lags = []

    async def dawdle():
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            pass

    async with open_loop_thread("spsd-lag") as thread:
        look = watch_lag(thread, lambda *told: lags.append(told), every_s=0.2)
        watching = asyncio.create_task(look)
        await seen(lags, REQUESTS, 0)
        await seen(lags, DOWNLOADS, 0)
        # Longer than there is between two looks, so that one of them falls into it.
        await thread.run(dawdle())
        await seen(lags, DOWNLOADS, 0.1)
        await dawdle()
        await seen(lags, REQUESTS, 0.1)
        watching.cancel()
        await asyncio.wait([watching])
    assert watching.cancelled()
