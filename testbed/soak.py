"""Many small jobs through one daemon, and what it holds meanwhile.

Jobs of all ends: installed, found in a slot, with another digest, not there, cancelled. Their
records and slots are emptied as they end, so a number that grows is a leak.
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
from testbed.counting import counted
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
    """What the daemon holds after so many jobs; sizes in bytes."""

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
    daemon: Daemon
    origin: Origin
    file: Path
    fresh_sockets: int
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    ends: Counter = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    async def run(self, jobs: int) -> None:
        """So many jobs more, several at a time, with a sample now and then."""
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
        which = 0 if kind == "held" else 1 + number % (OBJECTS - 1)
        digest = hashlib.sha256(content(which)).hexdigest()
        path = "/missing" if kind == "missing" else f"/{which}"
        if kind in ("mismatch", "missing"):
            digest = f"{number:064x}"
        key = await daemon.submit(origin.url(path), digest)
        if kind == "cancelled":
            await daemon.call("DELETE", f"{FETCH}/{key}")
        while (found := await self._looked_at(key)) is not None:
            if found["status"] in ("finished", "failed", "cancelled"):
                break
            await asyncio.sleep(POLL_S)  # as a client would poll
        self.ends[f"{kind}: {found['status'] if found else 'removed'}"] += 1
        if found is not None:
            await daemon.call("DELETE", f"{FETCH}/{key}")
            if found["status"] == "finished" and kind != "held":
                await daemon.call("DELETE", f"/api/firmware/slots/{found['slot_id']}")

    async def _looked_at(self, key: str) -> dict | None:
        status, document = await self.daemon.call("GET", f"{FETCH}/{key}")
        return document["body"] if status == 200 else None

    async def sample(self) -> Sample:
        process = self.daemon.process
        told = await counted(process.pid, self.file)
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in status)
        wal = self.daemon.state / "spsd.sqlite-wal"
        return Sample(
            jobs=self.done,
            seconds=time.monotonic() - self.started,
            descriptors=len(descriptors(process.pid)),
            threads=int(facts["Threads"]),
            tasks=len(told["tasks"]),
            blocks=told["blocks"],
            resident=int(facts["VmRSS"].split()[0]) * 1024,
            wal=wal.stat().st_size if wal.exists() else 0,
        )

    async def at_rest(self) -> Sample:
        """A sample without any connection, of clients or to the origin."""
        await self.daemon.client.close()
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while sockets(self.daemon.process.pid) > self.fresh_sockets:
                await asyncio.sleep(POLL_S)  # its sockets are the kernel's, which tells nobody
        rest = await self.sample()
        await self.daemon.log_in()
        return rest


@asynccontextmanager
async def soaking(root: Path) -> AsyncIterator[Soak]:
    file = root / "counts.json"
    fetch = {"concurrent": 4}
    slots = {"accept": "any", "count": 40}
    async with (
        Origin({f"/{number}": content(number) for number in range(OBJECTS)}) as origin,
        running(root, "counting", str(file), fetch=fetch, slots=slots) as daemon,
    ):
        await daemon.client.close()
        # The log-in's connection ends on the other side, too: who has fewer is not known yet.
        await asyncio.sleep(0.5)
        soak = Soak(daemon, origin, file, sockets(daemon.process.pid))
        await daemon.log_in()
        yield soak


def content(number: int) -> bytes:
    return (hashlib.sha256(str(number).encode()).digest() * (SIZE // 32))[: SIZE - number % 7]


def descriptors(pid: int) -> list[str]:
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(one.readlink()))
        except FileNotFoundError:  # closed in this very moment
            continue
    return found


def sockets(pid: int) -> int:
    return sum(name.startswith("socket:") for name in descriptors(pid))


def slope(samples: list[Sample], what: str) -> float:
    """Bytes (or blocks) for each job: a least-squares line through all samples."""
    xs = [sample.jobs for sample in samples]
    ys = [getattr(sample, what) for sample in samples]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )


def table(samples: list[Sample]) -> str:
    rows = ["| jobs | seconds | descriptors | threads | tasks | blocks | resident MiB | WAL KiB |"]
    rows += ["|---:|---:|---:|---:|---:|---:|---:|---:|"]
    rows += [
        f"| {s.jobs} | {s.seconds:.1f} | {s.descriptors} | {s.threads} | {s.tasks} | {s.blocks} "
        f"| {s.resident / 2**20:.1f} | {s.wal / 1024:.0f} |"
        for s in samples
    ]
    return "\n".join(rows)
