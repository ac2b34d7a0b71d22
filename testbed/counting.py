"""Count the tasks and memory blocks of a daemon: at SIGUSR1 it writes them to a file.

spsd itself does not contain this; `tests.daemon.crashing` installs it at the point ``counting``.
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
    """At SIGUSR1 write the names of the tasks and Python's allocated blocks to ``file``."""

    def write(*_: Any) -> None:
        gc.collect()  # garbage that is not yet collected is no leak
        names = sorted(_name(task) for task in asyncio.all_tasks())
        counts = {"tasks": names, "blocks": sys.getallocatedblocks()}
        new = file.with_name(f"{file.name}.new")
        new.write_text(json.dumps(counts))
        new.replace(file)

    signal.signal(signal.SIGUSR1, write)


def _name(task: asyncio.Task) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


async def read_counts(pid: int, file: Path) -> dict[str, Any]:
    """The counts of a daemon that was started at the point ``counting`` with this file.

    Gives ``tasks`` (a list of coroutine names) and ``blocks`` (a number).
    """
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    await until(file.exists)
    return json.loads(file.read_text())
