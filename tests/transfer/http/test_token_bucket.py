"""The shared rate limit, in real time."""

import asyncio

import pytest

from spsd.transfer.http.token_bucket import TokenBucket


async def seconds(work):
    clock = asyncio.get_running_loop().time
    since = clock()
    await work
    return clock() - since


async def test_no_limit_never_waits():
    bucket = TokenBucket(0)
    assert await seconds(bucket.take(2**60)) < 0.1


async def test_the_rate_is_shared():
    bucket = TokenBucket(1000)
    assert 0.19 < await seconds(asyncio.gather(bucket.take(100), bucket.take(100))) < 1
    assert 0.09 < await seconds(bucket.take(100)) < 1


async def test_idle_time_is_not_saved_up():
    bucket = TokenBucket(1000)
    await bucket.take(1)
    await asyncio.sleep(0.2)  # idle, by the bucket's own clock
    assert await seconds(bucket.take(100)) > 0.09


@pytest.mark.parametrize("rate", [0, 10**9])
async def test_a_faster_rate_wakes_waiting_calls(rate):
    bucket = TokenBucket(1)
    waiting = [asyncio.create_task(bucket.take(1_000_000)) for _ in range(3)]
    await asyncio.sleep(0)
    bucket.change(rate)
    assert await seconds(asyncio.gather(*waiting)) < 1


async def test_a_slower_rate_applies_to_waiting_calls():
    bucket = TokenBucket(1000)
    waiting = asyncio.create_task(bucket.take(100))
    await asyncio.sleep(0)
    bucket.change(200)
    assert 0.4 < await seconds(waiting) < 2


async def test_a_limit_where_there_was_none():
    bucket = TokenBucket(0)
    await bucket.take(10**9)
    bucket.change(1000)
    assert 0.09 < await seconds(bucket.take(100)) < 1


async def test_a_cancelled_wait_leaves_no_trace_but_its_share():
    bucket = TokenBucket(1000)
    waiting = asyncio.create_task(bucket.take(100))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert 0.1 < await seconds(bucket.take(100)) < 1
