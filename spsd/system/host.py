"""The machine that the daemon runs on: load, names, boot id, and the booted slot.

The values come from psutil, libc and /proc. Files are read outside the event loop.
"""

import asyncio
import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from spsd.storage.files import as_appliance_errors
from spsd.system.interfaces import interface_addresses


@dataclass(frozen=True, slots=True)
class Load:
    """How busy and how full the machine is.

    ``cpu``, ``disk``, ``memory`` and ``swap`` are percentages, ``load1`` to ``load15`` the load
    averages of uptime(1). ``disk`` is the file system of the state directory.
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
    """Processor time since boot in seconds, summed over all processors."""

    busy: float
    total: float


BOOT = CpuTime(busy=0, total=0)
"""The processor time at the moment of the boot."""


def busy_percent(before: CpuTime, after: CpuTime) -> float:
    """Share of processor time used between two readings, in percent; 0 if no time has passed."""
    total = after.total - before.total
    if total <= 0:
        return 0.0
    # The kernel sometimes corrects idle time downwards.
    share = min(max((after.busy - before.busy) / total, 0.0), 1.0)
    return round(100 * share, 1)


@dataclass(frozen=True, slots=True)
class HostName:
    """The two parts of a full host name; ``domainname`` is empty if there is no domain."""

    hostname: str
    domainname: str


def host_name(full: str, resolver: str) -> HostName:
    """Split a host name; one without a domain gets that of ``resolver``, a ``resolv.conf``."""
    hostname, _, domain = full.rstrip(".").partition(".")
    return HostName(hostname, domain or search_domain(resolver))


def search_domain(resolver: str) -> str:
    """The first domain that ``resolv.conf`` completes names with; empty if it has none.

    As in resolv.conf(5): a keyword starts its line, and of several ``domain`` and ``search`` lines
    the last one counts.
    """
    words = (line.split() for line in resolver.splitlines() if not line[:1].isspace())
    lists = [line[1:] for line in words if line and line[0] in {"domain", "search"}]
    domains = lists[-1] if lists else []
    return domains[0].strip(".") if domains else ""


class Host(Protocol):
    """The machine that the daemon runs on."""

    async def load(self) -> Load:
        """How busy and how full it is; the reading may be one second old.

        Raises:
            ApplianceError: the state directory's file system cannot be read.
        """

    async def name(self) -> HostName:
        """Its host name as configured on the machine; no name server is queried."""


READING_MAX_AGE_S = 1.0
"""The kernel counts processor time in ticks of some ms, so a shorter interval is inaccurate."""
_RESOLVER = Path("/etc/resolv.conf")


class LinuxHost:
    """Implements the port ``Host``. The constructor reads files, so run it outside the loop.

    ``cpu`` is the use since the previous reading. psutil's own ``cpu_percent`` stores the previous
    reading per thread, and here each reading may run in another thread.
    """

    def __init__(self, state: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._cpu = _cpu_time()
        self._read_at = clock()
        self._load: Load | None = None
        self._reading = asyncio.Lock()

    async def load(self) -> Load:
        """How busy and how full it is; calls within one second share a reading.

        Raises:
            ApplianceError: the state directory's file system cannot be read.
        """
        async with self._reading:
            fresh = self._clock() - self._read_at < READING_MAX_AGE_S
            if fresh and self._load is not None:
                return self._load
            # Right after the start the only earlier reading is that of the boot.
            before = BOOT if fresh else self._cpu
            # Stored only when complete, since the caller may be cancelled meanwhile.
            cpu, load = await asyncio.to_thread(_read, self._state, before)
            self._cpu, self._load, self._read_at = cpu, load, self._clock()
            return load

    async def name(self) -> HostName:
        """Its host name as configured on the machine; no name server is queried."""
        return host_name(socket.gethostname(), await asyncio.to_thread(_resolver))


def _read(state: Path, before: CpuTime) -> tuple[CpuTime, Load]:
    cpu = _cpu_time()
    with as_appliance_errors(f"reading the usage of the file system of {state}"):
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
    # Linux counts the time of guests a second time, as user time of the host.
    total = sum(times) - times.guest - times.guest_nice
    return CpuTime(busy=total - times.idle - times.iowait, total=total)


def _resolver() -> str:
    """The content of ``resolv.conf``; empty if it cannot be read."""
    try:
        return _RESOLVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


_SLOT = re.compile(r"(?:^|\s)spsd\.slot=([1-9]\d?)(?=\s|$)", re.ASCII)


def boot_id() -> str:
    """The kernel's identifier of this boot, a UUID."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """The facts about one boot of one machine that the daemon is started with.

    ``booted_slot`` is the slot that the boot loader named on the kernel's command line; None: it
    named none. ``machine_id`` is that of machine-id(5), or empty. ``other_names`` gives the other
    names and the addresses that clients may use for the machine now; it blocks.
    """

    boot_id: str
    booted_slot: int | None
    host_name: str
    machine_id: str = ""
    other_names: Callable[[], Sequence[str]] = tuple

    def identity(self, state: Path) -> str:
        """A text that is unique to this appliance, and the same after a reboot.

        Copies of a machine that share its machine id differ by host name or state directory.
        """
        return "\0".join((self.machine_id, self.host_name, str(state.resolve())))


def this_appliance() -> Appliance:
    """The facts about the machine that this process runs on; it reads files."""
    return Appliance(
        boot_id=boot_id(),
        booted_slot=booted_slot(),
        host_name=socket.gethostname(),
        machine_id=_machine_id(),
        other_names=_other_names,
    )


def _other_names() -> Sequence[str]:
    """The full host name, if a domain is configured, and the addresses of the interfaces."""
    name = host_name(socket.gethostname(), _resolver())
    full = [f"{name.hostname}.{name.domainname}"] if name.hostname and name.domainname else []
    return [*full, *interface_addresses()]


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def booted_slot() -> int | None:
    """The slot that the boot loader chose, from the kernel's command line; None: it named none."""
    return slot_on_command_line(Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace"))


def slot_on_command_line(command_line: str) -> int | None:
    """N of ``spsd.slot=N``; None if there is no such argument, or several that differ."""
    slots = set(_SLOT.findall(command_line))
    return int(slots.pop()) if len(slots) == 1 else None
