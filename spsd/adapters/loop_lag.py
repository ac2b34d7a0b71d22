"""How late the two event loops are with what is due: a look from time to time."""

import asyncio
import time
from collections.abc import Callable

from spsd.adapters.loop_thread import LoopThread
from spsd.services.meter import DOWNLOADS, REQUESTS

EVERY_S = 1.0


async def watch_lag(
    thread: LoopThread, note: Callable[[str, float], None], *, every_s: float = EVERY_S
) -> None:
    """Tell for ever how late they are, in seconds: this loop, and that of ``thread``."""
    while True:
        due = time.monotonic() + every_s
        await asyncio.sleep(every_s)
        asked = time.monotonic()
        note(REQUESTS, asked - due)
        note(DOWNLOADS, await thread.run(_monotonic()) - asked)


async def _monotonic() -> float:
    return time.monotonic()
