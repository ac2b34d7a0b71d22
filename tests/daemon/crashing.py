"""Start spsd with an injected fault: ``python -m tests.daemon.crashing POINT [FILE] serve …``.

Each of ``POINTS`` is before or after a call that a job makes at a port, where the process kills
itself as ``kill -9`` would. Other values of POINT delay a call, or make it raise an error.
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
from spsd.slots.iso9660.inspector import IsoInspector
from spsd.transfer.staging.partial_file import PartialFile
from testbed.counting import count_on_signal

Condition = Callable[..., bool]


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(owner: type, name: str, *, before: bool, when: Condition = lambda *_: True) -> None:
    """Kill the process before or after the first call for which ``when`` holds."""
    real = getattr(owner, name)

    def sync(self: object, *args: Any) -> Any:
        hit = when(self, *args)
        if hit and before:
            kill_this_process()
        result = real(self, *args)
        if hit:
            kill_this_process()
        return result

    async def coroutine(self: object, *args: Any) -> Any:
        hit = when(self, *args)
        if hit and before:
            kill_this_process()
        result = await real(self, *args)
        if hit:
            kill_this_process()
        return result

    setattr(owner, name, coroutine if asyncio.iscoroutinefunction(real) else sync)


def caused_by(trigger: Trigger) -> Condition:
    return lambda _self, _before, after: after.cause is trigger


def hold_installing(gate: Path) -> None:
    """Delay each installation until the file ``gate`` exists."""
    real = IsoInspector.inspect

    async def inspect(self: IsoInspector, digest: Any) -> Any:
        while not gate.exists():
            await asyncio.sleep(0.01)  # a test creates the file from another process
        return await real(self, digest)

    IsoInspector.inspect = inspect


def hang_dns() -> None:
    """Simulate a resolver whose servers do not respond: libc waits and cannot be interrupted."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "hang.example":
            time.sleep(60)
        return real(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def fail(owner: type, name: str, error: BaseException) -> None:
    """Make each call raise an unexpected error."""

    def failing(*_: Any) -> None:
        raise error

    setattr(owner, name, failing)


POINTS: dict[str, Callable[[], None]] = {
    "after-the-row": lambda: kill_at(SqliteJobs, "add", before=False),
    "after-the-claim": lambda: kill_at(
        SqliteJobs, "move", before=False, when=caused_by(Trigger.START)
    ),
    "after-the-first-chunk": lambda: kill_at(PartialFile, "commit", before=False),
    "after-the-last-chunk": lambda: kill_at(PartialFile, "seal", before=True),
    "after-fsync": lambda: kill_at(PartialFile, "seal", before=False),
    "after-the-proof": lambda: kill_at(
        SqliteJobs, "move", before=False, when=caused_by(Trigger.VERIFY)
    ),
    "before-the-rename": lambda: kill_at(Path, "rename", before=True),
    "after-the-rename": lambda: kill_at(Path, "rename", before=False),
    "before-the-final-transition": lambda: kill_at(
        SqliteJobs, "move", before=True, when=caused_by(Trigger.INSTALL)
    ),
    "after-the-final-transition": lambda: kill_at(
        SqliteJobs, "move", before=False, when=caused_by(Trigger.INSTALL)
    ),
}

BUGS: dict[str, Exception | SystemExit] = {
    "bug-in-an-attempt": KeyError("a bug"),
    "end-of-the-second-loop": SystemExit("the end of the loop"),
}

if __name__ == "__main__":
    point = sys.argv.pop(1)
    if point == "hold-installing":
        hold_installing(Path(sys.argv.pop(1)))
    elif point == "counting":
        count_on_signal(Path(sys.argv.pop(1)))
    elif point == "hang-dns":
        hang_dns()
    elif point in BUGS:
        fail(PartialFile, "commit", BUGS[point])
    else:
        POINTS[point]()
    main()
