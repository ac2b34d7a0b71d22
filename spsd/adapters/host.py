"""The machine as psutil and libc know it; every file is read off the loop."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from spsd.domain.host import BOOT, CpuTime, HostName, Load, busy_percent, host_name
from spsd.storage.files import as_appliance_errors

KEEP_S = 1.0
"""The kernel counts processor time in ticks of some ms: over a shorter while it means little."""

_RESOLVER = Path("/etc/resolv.conf")


class Machine:
    """Implements the port ``Host``; construct it off the loop.

    ``cpu`` is what was used since the reading before. psutil's own ``cpu_percent`` keeps that for
    each thread, and here every reading may come from another one.
    """

    def __init__(self, state: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._cpu = _cpu_time()
        self._read_at = clock()
        self._load: Load | None = None
        self._reading = asyncio.Lock()

    async def load(self) -> Load:
        """How busy and how full it is; a reading serves all who ask within a second.

        Raises:
            ApplianceError: the state directory's file system does not answer.
        """
        async with self._reading:
            fresh = self._clock() - self._read_at < KEEP_S
            if fresh and self._load is not None:
                return self._load
            # Right after the start there is no while to look back on but the whole uptime.
            before = BOOT if fresh else self._cpu
            # Nothing is kept until all of it has come: whoever asks may be cancelled.
            cpu, load = await asyncio.to_thread(_read, self._state, before)
            self._cpu, self._load, self._read_at = cpu, load, self._clock()
            return load

    async def name(self) -> HostName:
        """What it is called, as it says itself: nobody on the network is asked."""
        return host_name(socket.gethostname(), await asyncio.to_thread(_resolver))


def _read(state: Path, before: CpuTime) -> tuple[CpuTime, Load]:
    cpu = _cpu_time()
    with as_appliance_errors(f"looking at the file system of {state}"):
        disk = psutil.disk_usage(str(state)).percent
    load1, load5, load15 = os.getloadavg()
    return cpu, Load(
        cpu=busy_percent(before, cpu),
        disk=disk,
        memory=psutil.virtual_memory().percent,
        swap=psutil.swap_memory().percent,
        load1=load1,
        load5=load5,
        load15=load15,
    )


def _cpu_time() -> CpuTime:
    times = psutil.cpu_times()
    # Linux counts a guest's time as its host's user time too.
    total = sum(times) - times.guest - times.guest_nice
    return CpuTime(busy=total - times.idle - times.iowait, total=total)


def _resolver() -> str:
    """What ``resolv.conf`` says; nothing where there is none."""
    try:
        return _RESOLVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
