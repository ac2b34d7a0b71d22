"""Start spsd with a trap: ``python -m tests.daemon.crashing POINT [FILE] serve …``.

Each point is before or after a call that the pipeline makes at a port. There the process kills
itself as ``kill -9`` would, or (``hold-installing``) waits until FILE exists. Nothing of this is
in the product.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spsd.__main__ import main
from spsd.jobs.lifecycle import Trigger
from spsd.jobs.sqlite import SqliteJobs
from spsd.slots.iso9660 import IsoInspector
from spsd.transfer.staging.partial_file import PartialFile
from testbed.counting import count_on_signal

Test = Callable[..., bool]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def trap(owner: type, name: str, *, before: bool, when: Test = lambda *_: True) -> None:
    """Kill the process before or after the first call for which ``when`` holds."""
    real = getattr(owner, name)

    def sync(self: object, *args: Any) -> Any:
        hit = when(self, *args)
        if hit and before:
            die()
        result = real(self, *args)
        if hit:
            die()
        return result

    async def coroutine(self: object, *args: Any) -> Any:
        hit = when(self, *args)
        if hit and before:
            die()
        result = await real(self, *args)
        if hit:
            die()
        return result

    setattr(owner, name, coroutine if asyncio.iscoroutinefunction(real) else sync)


def moved_by(trigger: Trigger) -> Test:
    return lambda _self, _seen, to: to.cause is trigger


def hold(gate: Path) -> None:
    real = IsoInspector.inspect

    async def inspect(self: IsoInspector, digest: Any) -> Any:
        while not gate.exists():
            await asyncio.sleep(0.01)  # a test opens the gate from another process
        return await real(self, digest)

    IsoInspector.inspect = inspect


def hang_dns() -> None:
    """A resolver whose servers do not answer: libc waits, and nothing can interrupt it."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "hang.example":
            time.sleep(60)
        return real(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def fail(owner: type, name: str, error: BaseException) -> None:
    """Have each call raise what nobody expects."""

    def failing(*_: Any) -> None:
        raise error

    setattr(owner, name, failing)


POINTS: dict[str, Callable[[], None]] = {
    "after-the-row": lambda: trap(SqliteJobs, "add", before=False),
    "after-the-claim": lambda: trap(SqliteJobs, "move", before=False, when=moved_by(Trigger.START)),
    "after-the-first-chunk": lambda: trap(PartialFile, "commit", before=False),
    "after-the-last-chunk": lambda: trap(PartialFile, "seal", before=True),
    "after-fsync": lambda: trap(PartialFile, "seal", before=False),
    "after-the-proof": lambda: trap(
        SqliteJobs, "move", before=False, when=moved_by(Trigger.VERIFY)
    ),
    "before-the-rename": lambda: trap(Path, "rename", before=True),
    "after-the-rename": lambda: trap(Path, "rename", before=False),
    "before-the-final-transition": lambda: trap(
        SqliteJobs, "move", before=True, when=moved_by(Trigger.INSTALL)
    ),
    "after-the-final-transition": lambda: trap(
        SqliteJobs, "move", before=False, when=moved_by(Trigger.INSTALL)
    ),
}

BUGS: dict[str, Exception | SystemExit] = {
    "bug-in-an-attempt": KeyError("a bug"),
    "end-of-the-second-loop": SystemExit("the loop's end"),
}

if __name__ == "__main__":
    point = sys.argv.pop(1)
    if point == "hold-installing":
        hold(Path(sys.argv.pop(1)))
    elif point == "counting":
        count_on_signal(Path(sys.argv.pop(1)))
    elif point == "hang-dns":
        hang_dns()
    elif point in BUGS:
        fail(PartialFile, "commit", BUGS[point])
    else:
        POINTS[point]()
    main()
