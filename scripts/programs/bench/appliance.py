"""spsd as a contender: a daemon process, measured from the POST of a job to its end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from scripts.programs.bench.samples import MIB, BenchError, Sample
from scripts.programs.bench.workspace import Source
from testbed.driver import FETCH, Daemon, running

SPSD: Final = "spsd"
_UNIT: Final = Path(__file__).parents[3] / "systemd" / "spsd.service"
_LONGEST_POLL_S: Final = 0.2
_SHORTEST_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Start:
    """The cost of a daemon's start up to the log-in, which is not counted as part of a download."""

    ready_s: float
    cpu_s: float
    resident_mib: float


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time since the start, and resident memory, of a daemon with its child processes."""

    cpu_s: float
    resident_mib: float
    peak_mib: float


@dataclass
class Appliance:
    """spsd with some settings of ``[fetch]``; a new daemon for each fetch."""

    name: str = SPSD
    fetch_settings: Mapping[str, object] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)

    async def fetch(self, source: Source, into: Path) -> tuple[Sample, Path]:
        """Start a daemon in the directory ``into`` and let it fetch the source.

        Raises:
            BenchError: the job failed.
        """
        settings = dict(self.fetch_settings)
        if source.authority is not None:
            settings["ca_file"] = str(source.authority)
        async with start_daemon(into, fetch=settings) as daemon:
            idle = usage(daemon)
            self.starts.append(Start(daemon.ready_s, idle.cpu_s, idle.resident_mib))
            sample, bodies = await fetch_all(daemon, [source])
            return sample, daemon.image(bodies[0]["slot_id"])


@dataclass
class TimedDaemon(Daemon):
    """A daemon that measures its last start, up to the ready line."""

    ready_s: float = 0

    async def start(self, *point: str) -> None:
        began = time.monotonic()
        await super().start(*point)
        self.ready_s = time.monotonic() - began


@asynccontextmanager
async def start_daemon(root: Path, **settings: object) -> AsyncIterator[TimedDaemon]:
    """A daemon in an empty directory, as the unit file would start it."""
    fields: dict[str, Any] = {
        "slots": {"count": 99, "accept": "any"},
        "environ": unit_environment(),
        "log": root / "log",
        **settings,
    }
    async with running(root, daemon_type=TimedDaemon, **fields) as daemon:
        yield daemon


def unit_environment() -> dict[str, str]:
    """The variables that the unit file sets."""
    lines = _UNIT.read_text(encoding="utf-8").splitlines()
    words = [line.removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    return dict(word.strip('"').split("=", 1) for word in words)


def usage(daemon: Daemon) -> Usage:
    """The resources that the daemon and its child processes have used so far."""
    assert daemon.process is not None
    main = psutil.Process(daemon.process.pid)
    cpu = resident = peak = 0.0
    for process in (main, *main.children(recursive=True)):
        times = process.cpu_times()
        cpu += times.user + times.system
        resident += process.memory_info().rss / MIB
        peak += _peak_mib(process.pid)
    ended = main.cpu_times()
    return Usage(cpu + ended.children_user + ended.children_system, resident, peak)


def reset_peak(daemon: Daemon) -> None:
    """Reset the peak memory: the password hash of a log-in needs more memory than a download."""
    assert daemon.process is not None
    # proc(5): 5 resets VmHWM to the present resident size.
    Path(f"/proc/{daemon.process.pid}/clear_refs").write_text("5", encoding="ascii")


def _peak_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def poll_interval(done: int, total: int, elapsed_s: float) -> float:
    """Seconds until the next poll: half of the estimated remaining time, from 0.01 to 0.2.

    Each poll takes some of the daemon's time, so most of them are near the end.
    """
    if not done:
        return _SHORTEST_POLL_S
    remaining_s = elapsed_s * (total - done) / done
    return min(_LONGEST_POLL_S, max(_SHORTEST_POLL_S, remaining_s / 2))


async def fetch_all(
    daemon: Daemon, sources: Sequence[Source]
) -> tuple[Sample, Sequence[Mapping[str, Any]]]:
    """Submit all sources at once and wait for their end; gives the cost and the jobs' bodies.

    Raises:
        BenchError: a job failed.
    """
    reset_peak(daemon)
    before = usage(daemon)
    began = time.monotonic()
    keys = [await daemon.submit(source.url, source.sha256) for source in sources]
    total = sum(source.size for source in sources)
    while True:
        _, document = await daemon.call("GET", FETCH)
        bodies = [item["body"] for item in document["items"] if item["key"] in keys]
        if all(body["status"] not in ("queued", "in-progress") for body in bodies):
            break
        done = sum(body["bytes_downloaded"] for body in bodies)
        await asyncio.sleep(poll_interval(done, total, time.monotonic() - began))
    wall = time.monotonic() - began
    after = usage(daemon)
    for body in bodies:
        if body["status"] != "finished":
            raise BenchError(f"spsd: {json.dumps(body)}")
    return Sample(wall, after.cpu_s - before.cpu_s, after.peak_mib), bodies
