"""Several downloads at once: the total rate, and the memory for each of them."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from scripts.programs.bench.appliance import fetch_all, start_daemon, usage
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.tools import say
from scripts.programs.bench.workspace import Server, Source, Workspace

_ONE: Final = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One run of ``jobs`` concurrent jobs; ``rate`` is the total in bytes per second."""

    jobs: int
    rate: float
    cpu_s: float
    idle_mib: float
    peak_mib: float

    @property
    def growth_mib(self) -> float:
        """The memory that each job added to an idle daemon."""
        return (self.peak_mib - self.idle_mib) / self.jobs


async def measure(workspace: Workspace, scale: Scale) -> Part:
    """The same number of bytes in 1, 4, 16 and 64 objects, fetched concurrently."""
    runs: dict[int, list[Run]] = {}
    with workspace.serving() as server:
        for jobs in scale.at_once:
            sources = _sources(server, jobs, scale.size // jobs)
            say(f"concurrency: {jobs} at once")
            runs[jobs] = [await _run(workspace, sources) for _ in range(scale.few_rounds)]
            for source in sources:
                (workspace.objects / source.url.rpartition("/")[2]).unlink()
    medians = {jobs: _median(taken) for jobs, taken in runs.items()}
    most = medians[max(medians)]
    rows = [
        [
            str(jobs),
            f"{scale.size // jobs / 1e6:g}",
            f"{run.rate / 1e6:.0f}",
            f"{run.rate / medians[_ONE].rate:.2f}",
            f"{run.cpu_s:.2f}",
            f"{run.peak_mib:.0f}",
            f"{run.growth_mib:.1f}",
        ]
        for jobs, run in medians.items()
    ]
    head = ("Jobs", "MB each", "MB/s in total", "rate / 1 job", "CPU s", "peak MiB", "MiB per job")
    return Part(
        f"Jobs at once, {scale.few_rounds} rounds",
        [Table(head, rows)],
        {
            "concurrency rate most/1": most.rate / medians[_ONE].rate,
            "concurrency growth": most.growth_mib,
        },
        samples={str(jobs): [asdict(run) for run in taken] for jobs, taken in runs.items()},
    )


def _sources(server: Server, jobs: int, size: int) -> Sequence[Source]:
    return [server.source(f"{jobs}-{number}", size) for number in range(jobs)]


async def _run(workspace: Workspace, sources: Sequence[Source]) -> Run:
    with workspace.fresh() as into:
        async with start_daemon(into, fetch={"concurrent": len(sources)}) as daemon:
            idle = usage(daemon).resident_mib
            sample, _ = await fetch_all(daemon, sources)
    total = sum(source.size for source in sources)
    return Run(len(sources), total / sample.wall_s, sample.cpu_s, idle, sample.peak_mib)


def _median(runs: Sequence[Run]) -> Run:
    def median(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    return Run(
        runs[0].jobs, median("rate"), median("cpu_s"), median("idle_mib"), median("peak_mib")
    )
