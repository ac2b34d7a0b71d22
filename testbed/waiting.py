"""Waiting for what tells nobody when it comes: a process, a file, a thread, a row.

Where there is an event a test waits for that. Here the condition is looked at again and again, so
nobody waits longer than it takes; what never comes fails the test.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY_S = 0.01
LIMIT_S = 30.0


async def until(holds: Callable[[], object]) -> None:
    """Return as soon as it holds."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(LOOK_EVERY_S)


async def until_seen(look: Callable[[], Awaitable[T]], holds: Callable[[T], object]) -> T:
    """Look until it holds of what is seen; gives that."""
    async with asyncio.timeout(LIMIT_S):
        while not holds(seen := await look()):
            await asyncio.sleep(LOOK_EVERY_S)
        return seen


def wait_for(look: Callable[[], T], holds: Callable[[T], object] = bool) -> T:
    """The same for a test that is no coroutine."""
    deadline = time.monotonic() + LIMIT_S
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(LOOK_EVERY_S)
    return seen
