"""The measured delay of the two event loops."""

import asyncio
import time

from spsd.system.loop_thread import DOWNLOADS, REQUESTS, measure_lag, open_loop_thread
from testbed.waiting import until

BUSY_S = 0.4
"""Longer than the interval between two measurements, of which one may still miss it."""


async def test_a_busy_loop_has_a_lag():
    lags = []

    def measured(loop, at_least):
        return any(name == loop and lag >= at_least for name, lag in lags)

    async def block_the_loop():
        end = time.monotonic() + BUSY_S
        while time.monotonic() < end:
            pass

    async with open_loop_thread("spsd-lag") as thread, asyncio.timeout(30):
        measuring = measure_lag(thread, lambda *lag: lags.append(lag), every_s=BUSY_S / 2)
        task = asyncio.create_task(measuring)
        await until(lambda: measured(REQUESTS, 0) and measured(DOWNLOADS, 0))
        while not measured(DOWNLOADS, BUSY_S / 4):
            await thread.run(block_the_loop())
        while not measured(REQUESTS, BUSY_S / 4):
            await block_the_loop()
            await asyncio.sleep(0)  # for the measurement that is due
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
