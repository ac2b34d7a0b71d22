"""Many small jobs through one daemon, and its resource usage meanwhile.

The jobs end in all ways: installed, already in a slot, wrong digest, not found, cancelled. Each
record is deleted and each slot emptied when its job has ended, so a number that grows is a leak.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spsd.testing.origin import Origin
from testbed.counting import read_counts
from testbed.driver import FETCH, Daemon, running

WARM_UP = 100
AT_A_TIME = 12
SAMPLE_EVERY = 100
SIZE = 4096
OBJECTS = 998
KINDS = ("new", "new", "held", "mismatch", "missing", "cancelled")
SETTLED_WITHIN_S = 60
POLL_S = 0.05


@dataclass(frozen=True)
class Sample:
    """The daemon's resources after ``jobs`` jobs; ``resident`` and ``wal`` in bytes."""

    jobs: int
    seconds: float
    descriptors: int
    threads: int
    tasks: int
    blocks: int
    resident: int
    wal: int


@dataclass
class Soak:
    """A daemon, its origin, and the samples so far."""

    daemon: Daemon
    origin: Origin
    file: Path
    fresh_sockets: int
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    ends: Counter = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    async def run(self, jobs: int) -> None:
        """Run ``jobs`` more jobs, AT_A_TIME in parallel, with a sample every SAMPLE_EVERY."""
        numbers = iter(range(self.done, self.done + jobs))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(self._worker(numbers))

    async def _worker(self, numbers) -> None:
        for number in numbers:
            await self._job(number)
            self.done += 1
            if self.done % SAMPLE_EVERY == 0:
                self.samples.append(await self.sample())

    async def _job(self, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        origin, daemon = self.origin, self.daemon
        index = 0 if kind == "held" else 1 + number % (OBJECTS - 1)
        digest = hashlib.sha256(content(index)).hexdigest()
        path = "/missing" if kind == "missing" else f"/{index}"
        if kind in ("mismatch", "missing"):
            digest = f"{number:064x}"
        key = await daemon.submit(origin.url(path), digest)
        if kind == "cancelled":
            await daemon.call("DELETE", f"{FETCH}/{key}")
        while (body := await self._job_body(key)) is not None:
            if body["status"] in ("finished", "failed", "cancelled"):
                break
            await asyncio.sleep(POLL_S)  # as a client would poll
        self.ends[f"{kind}: {body['status'] if body else 'removed'}"] += 1
        if body is not None:
            await daemon.call("DELETE", f"{FETCH}/{key}")
            if body["status"] == "finished" and kind != "held":
                await daemon.call("DELETE", f"/api/firmware/slots/{body['slot_id']}")

    async def _job_body(self, key: str) -> dict | None:
        status, document = await self.daemon.call("GET", f"{FETCH}/{key}")
        return document["body"] if status == 200 else None

    async def sample(self) -> Sample:
        """The daemon's resources now."""
        process = self.daemon.process
        counts = await read_counts(process.pid, self.file)
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in status)
        wal = self.daemon.state / "spsd.sqlite-wal"
        return Sample(
            jobs=self.done,
            seconds=time.monotonic() - self.started,
            descriptors=len(descriptors(process.pid)),
            threads=int(facts["Threads"]),
            tasks=len(counts["tasks"]),
            blocks=counts["blocks"],
            resident=int(facts["VmRSS"].split()[0]) * 1024,
            wal=wal.stat().st_size if wal.exists() else 0,
        )

    async def at_rest(self) -> Sample:
        """A sample after all connections, of clients and to the origin, are closed."""
        await self.daemon.client.close()
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while sockets(self.daemon.process.pid) > self.fresh_sockets:
                await asyncio.sleep(POLL_S)  # the kernel has no event for a closed socket
        rest = await self.sample()
        await self.daemon.log_in()
        return rest


@asynccontextmanager
async def soaking(root: Path) -> AsyncIterator[Soak]:
    """A soak test with a started daemon that has run no job yet."""
    file = root / "counts.json"
    fetch = {"concurrent": 4}
    slots = {"accept": "any", "count": 40}
    async with (
        Origin({f"/{number}": content(number) for number in range(OBJECTS)}) as origin,
        running(root, "counting", str(file), fetch=fetch, slots=slots) as daemon,
    ):
        await daemon.client.close()
        # The daemon has to close its end of the log-in's connection before its sockets are counted.
        await asyncio.sleep(0.5)
        soak = Soak(daemon, origin, file, sockets(daemon.process.pid))
        await daemon.log_in()
        yield soak


def content(number: int) -> bytes:
    """The bytes of one of the origin's objects."""
    return (hashlib.sha256(str(number).encode()).digest() * (SIZE // 32))[: SIZE - number % 7]


def descriptors(pid: int) -> list[str]:
    """The targets of the open descriptors of a process, such as ``socket:[4711]``."""
    targets = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(str(link.readlink()))
        except FileNotFoundError:  # closed since the directory was listed
            continue
    return targets


def sockets(pid: int) -> int:
    """The number of open sockets of a process."""
    return sum(name.startswith("socket:") for name in descriptors(pid))


def slope(samples: list[Sample], attribute: str) -> float:
    """Growth of an attribute for each job: the slope of the least-squares line."""
    xs = [sample.jobs for sample in samples]
    ys = [getattr(sample, attribute) for sample in samples]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )


def table(samples: list[Sample]) -> str:
    """The samples as a Markdown table."""
    rows = ["| jobs | seconds | descriptors | threads | tasks | blocks | resident MiB | WAL KiB |"]
    rows += ["|---:|---:|---:|---:|---:|---:|---:|---:|"]
    rows += [
        f"| {s.jobs} | {s.seconds:.1f} | {s.descriptors} | {s.threads} | {s.tasks} | {s.blocks} "
        f"| {s.resident / 2**20:.1f} | {s.wal / 1024:.0f} |"
        for s in samples
    ]
    return "\n".join(rows)
