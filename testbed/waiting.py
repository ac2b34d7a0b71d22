"""Wait for conditions that have no event, such as a process, a file, a thread or a row.

Where there is an event a test waits for that. Here the condition is checked every LOOK_EVERY_S
seconds; a condition that is not met within LIMIT_S seconds fails the test.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil

T = TypeVar("T")
LOOK_EVERY_S = 0.01
LIMIT_S = 30.0


async def until(holds: Callable[[], object]) -> None:
    """Return as soon as the condition is true.

    Raises:
        TimeoutError: it was not true within LIMIT_S.
    """
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(LOOK_EVERY_S)


async def until_seen(look: Callable[[], Awaitable[T]], holds: Callable[[T], object]) -> T:
    """Call ``look`` until ``holds`` is true of its result; gives that result.

    Raises:
        TimeoutError: it was not true within LIMIT_S.
    """
    async with asyncio.timeout(LIMIT_S):
        while not holds(value := await look()):
            await asyncio.sleep(LOOK_EVERY_S)
        return value


def has_ended(pid: int) -> bool:
    """Whether the process has ended; its status may not be collected yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_ended(pid: int) -> None:
    """Wait for the end of a killed process, which the kernel may delay."""
    await until(lambda: has_ended(pid))


def wait_for(look: Callable[[], T], holds: Callable[[T], object] = bool) -> T:
    """:func:`until_seen` for tests without an event loop; a timeout is an AssertionError."""
    deadline = time.monotonic() + LIMIT_S
    while not holds(value := look()):
        assert time.monotonic() < deadline, value
        time.sleep(LOOK_EVERY_S)
    return value
