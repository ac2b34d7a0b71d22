"""Have a daemon tell how many tasks it has: at SIGUSR1 it writes them to a file.

Nothing of this is in the product; `tests.daemon.crashing` starts it at the point ``counting``.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from testbed.waiting import until

POLL_S = 0.02


def count_on_signal(file: Path) -> None:
    """At SIGUSR1 the names of the tasks, and how many blocks Python has allocated, go to FILE."""

    def write(*_: Any) -> None:
        gc.collect()  # what waits for it is no leak
        names = sorted(_name(task) for task in asyncio.all_tasks())
        told = {"tasks": names, "blocks": sys.getallocatedblocks()}
        new = file.with_name(f"{file.name}.new")
        new.write_text(json.dumps(told))
        new.replace(file)

    signal.signal(signal.SIGUSR1, write)


def _name(task: asyncio.Task) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


async def counted(pid: int, file: Path) -> dict[str, Any]:
    """Ask a daemon that was started so."""
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    await until(file.exists)
    return json.loads(file.read_text())
