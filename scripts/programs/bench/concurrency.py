"""Several downloads at once: the rate of all, and what each costs in memory."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from scripts.programs.bench.appliance import fetched, started, usage
from scripts.programs.bench.place import Place, Server, Source
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.tools import say

_ONE: Final = 1


@dataclass(frozen=True, slots=True)
class Run:
    """So many jobs at once, once: bytes a second in all, CPU seconds, MiB."""

    jobs: int
    rate: float
    cpu_s: float
    idle_mib: float
    peak_mib: float

    @property
    def growth_mib(self) -> float:
        """What each job added to an idle daemon."""
        return (self.peak_mib - self.idle_mib) / self.jobs


async def measure(place: Place, scale: Scale) -> Part:
    """The same number of bytes in 1, 4, 16, 64 objects, fetched all at once."""
    runs: dict[int, list[Run]] = {}
    with place.serving() as server:
        for jobs in scale.at_once:
            sources = _sources(server, jobs, scale.size // jobs)
            say(f"concurrency: {jobs} at once")
            runs[jobs] = [await _run(place, sources) for _ in range(scale.few_rounds)]
            for source in sources:
                (place.objects / source.url.rpartition("/")[2]).unlink()
    middle = {jobs: _median(taken) for jobs, taken in runs.items()}
    most = middle[max(middle)]
    rows = [
        [
            str(jobs),
            f"{scale.size // jobs / 1e6:g}",
            f"{one.rate / 1e6:.0f}",
            f"{one.rate / middle[_ONE].rate:.2f}",
            f"{one.cpu_s:.2f}",
            f"{one.peak_mib:.0f}",
            f"{one.growth_mib:.1f}",
        ]
        for jobs, one in middle.items()
    ]
    head = ("Jobs", "MB each", "MB/s in all", "rate / 1 job", "CPU s", "peak MiB", "MiB more a job")
    return Part(
        f"Jobs at once, {scale.few_rounds} rounds",
        [Table(head, rows)],
        {
            "concurrency rate most/1": most.rate / middle[_ONE].rate,
            "concurrency growth": most.growth_mib,
        },
        samples={str(jobs): [asdict(run) for run in taken] for jobs, taken in runs.items()},
    )


def _sources(server: Server, jobs: int, size: int) -> Sequence[Source]:
    return [server.source(f"{jobs}-{number}", size) for number in range(jobs)]


async def _run(place: Place, sources: Sequence[Source]) -> Run:
    with place.fresh() as into:
        async with started(into, fetch={"concurrent": len(sources)}) as daemon:
            idle = usage(daemon).resident_mib
            sample, _ = await fetched(daemon, sources)
    total = sum(source.size for source in sources)
    return Run(len(sources), total / sample.wall_s, sample.cpu_s, idle, sample.peak_mib)


def _median(runs: Sequence[Run]) -> Run:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    return Run(
        runs[0].jobs, middle("rate"), middle("cpu_s"), middle("idle_mib"), middle("peak_mib")
    )
