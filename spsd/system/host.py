"""The machine that the daemon runs on: load, names, boot id, and the booted slot.

psutil, libc and /proc are the sources; every file is read off the loop.
"""

import asyncio
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from spsd.storage.files import as_appliance_errors


@dataclass(frozen=True, slots=True)
class Load:
    """``cpu``, ``disk``, ``memory`` and ``swap`` in percent; ``load1`` to ``load15`` as uptime(1).

    ``disk`` is the file system of the state directory.
    """

    cpu: float
    disk: float
    memory: float
    swap: float
    load1: float
    load5: float
    load15: float


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor seconds since boot, of all processors together."""

    busy: float
    total: float


BOOT = CpuTime(busy=0, total=0)


def busy_percent(before: CpuTime, after: CpuTime) -> float:
    """How busy the processors were meanwhile; 0 if no time has passed."""
    total = after.total - before.total
    if total <= 0:
        return 0.0
    # The kernel may take back some idle time that it had counted.
    share = min(max((after.busy - before.busy) / total, 0.0), 1.0)
    return round(100 * share, 1)


@dataclass(frozen=True, slots=True)
class HostName:
    """Both parts of a full name; ``domainname`` is empty where there is none."""

    hostname: str
    domainname: str


def host_name(full: str, resolver: str) -> HostName:
    """Split what the machine calls itself; a bare name gets the domain of ``resolv.conf``."""
    hostname, _, domain = full.rstrip(".").partition(".")
    return HostName(hostname, domain or search_domain(resolver))


def search_domain(resolver: str) -> str:
    """The first domain that ``resolv.conf`` completes names with; empty if it names none.

    As in resolv.conf(5): a keyword starts its line, and the last ``domain`` or ``search`` counts.
    """
    words = (line.split() for line in resolver.splitlines() if not line[:1].isspace())
    lists = [line[1:] for line in words if line and line[0] in {"domain", "search"}]
    named = lists[-1] if lists else []
    return named[0].strip(".") if named else ""


class Host(Protocol):
    """The machine that the daemon runs on."""

    async def load(self) -> Load:
        """How busy and how full it is; a reading of the last second will do.

        Raises:
            ApplianceError: the state directory's file system does not answer.
        """

    async def name(self) -> HostName:
        """What it is called, as it says itself: nobody on the network is asked."""


KEEP_S = 1.0
"""The kernel counts processor time in ticks of some ms: over a shorter while it means little."""
_RESOLVER = Path("/etc/resolv.conf")


class LinuxHost:
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


_SLOT = re.compile(r"(?:^|\s)spsd\.slot=([1-9]\d?)(?=\s|$)", re.ASCII)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """The facts of one boot of one machine, as the daemon is given them when it starts.

    ``booted_slot`` is what the boot loader names on the kernel's command line; None: nothing.
    ``machine_id`` is that of machine-id(5), or empty.
    """

    boot_id: str
    booted_slot: int | None
    host_name: str
    machine_id: str = ""

    def identity(self, state: Path) -> str:
        """A text that tells this appliance from others, and is the same after a reboot.

        Machines that were copied with their machine id differ by host name or state directory.
        """
        return "\0".join((self.machine_id, self.host_name, str(state.resolve())))


def this_appliance() -> Appliance:
    """The machine that this process runs on; reads files."""
    return Appliance(
        boot_id=boot_id(),
        booted_slot=booted_slot(),
        host_name=socket.gethostname(),
        machine_id=_machine_id(),
    )


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def booted_slot() -> int | None:
    """The slot that the boot loader chose, as it says on the kernel's command line."""
    return slot_named(Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace"))


def slot_named(command_line: str) -> int | None:
    """N of ``spsd.slot=N``; None if it names none, or several."""
    found = set(_SLOT.findall(command_line))
    return int(found.pop()) if len(found) == 1 else None
