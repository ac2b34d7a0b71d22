"""One download, over http or https: spsd, its peers, and the floor."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from scripts.programs.bench.appliance import SPSD, Appliance, Start
from scripts.programs.bench.peers import BASELINE, FLOOR, Contender, Peer
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.rounds import run_rounds
from scripts.programs.bench.samples import GB, Series
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.workspace import Workspace

_OBJECT: Final = "object"


async def measure(
    workspace: Workspace, peers: Sequence[Peer], scale: Scale, *, tls: bool, with_spsd: bool
) -> Part:
    """All contenders in turns; over TLS without the floor, which has no TLS."""
    appliance = Appliance()
    contenders: list[Contender] = [peer for peer in peers if peer.name != FLOOR or not tls]
    contenders += [appliance] if with_spsd else []
    scheme = "https" if tls else "http"
    with workspace.serving(tls=tls) as server:
        source = server.source(_OBJECT, scale.size)
        series = await run_rounds(workspace, contenders, source, rounds=scale.rounds, title=scheme)
    return report(scheme, scale, series, appliance.starts)


def report(
    scheme: str, scale: Scale, series: Mapping[str, Series], starts: Sequence[Start] = ()
) -> Part:
    """The table with ratios of medians, and the figures for the goals."""
    fastest = fastest_peer(series)
    references = [name for name in dict.fromkeys((BASELINE, fastest, FLOOR)) if name in series]
    head = ["Contender", "wall s", "runs", "CPU s", "CPU s/GB", "peak MiB"]
    cpu_references = [name for name in (BASELINE,) if name in series]
    head += [f"wall / {name}" for name in references]
    head += [f"CPU / {name}" for name in cpu_references]
    rows = [
        [
            name,
            f"{runs.wall_s:.2f}",
            runs.spread,
            f"{runs.cpu_s:.2f}",
            f"{runs.cpu_s * GB / scale.size:.2f}",
            f"{runs.peak_mib:.0f}",
            *(f"{runs.wall_s / series[other].wall_s:.2f}" for other in references),
            *(f"{runs.cpu_s / series[other].cpu_s:.2f}" for other in cpu_references),
        ]
        for name, runs in series.items()
    ]
    notes = [f"The fastest peer is {fastest}."] if fastest else []
    return Part(
        f"One download of {scale.size / GB:g} GB, {scheme}, {scale.rounds} rounds",
        [Table(head, rows)],
        _figures(scheme, series, fastest),
        [*notes, *_start_note(starts)],
        {name: [asdict(sample) for sample in runs.samples] for name, runs in series.items()},
    )


def fastest_peer(series: Mapping[str, Series]) -> str:
    """The name of the fastest contender but spsd and the floor; empty if there is none."""
    walls = {name: runs.wall_s for name, runs in series.items() if name not in (SPSD, FLOOR)}
    return min(walls, key=lambda name: walls[name], default="")


def _figures(scheme: str, series: Mapping[str, Series], fastest: str) -> Mapping[str, float]:
    if SPSD not in series:
        return {}
    spsd = series[SPSD]
    figures = {f"{scheme} peak": spsd.peak_mib}
    others = {BASELINE: BASELINE, "fastest": fastest, FLOOR: FLOOR}
    for word, name in others.items():
        if name in series:
            figures[f"{scheme} wall/{word}"] = spsd.wall_s / series[name].wall_s
            figures[f"{scheme} cpu/{word}"] = spsd.cpu_s / series[name].cpu_s
    return figures


def _start_note(starts: Sequence[Start]) -> Sequence[str]:
    if not starts:
        return []
    ready = statistics.median(start.ready_s for start in starts)
    cpu = statistics.median(start.cpu_s for start in starts)
    resident = statistics.median(start.resident_mib for start in starts)
    note = (
        f"The daemon's start is not included: it takes {ready:.2f} s to the ready line and"
        f" {cpu:.2f} s of CPU up to the first log-in; then {resident:.0f} MiB are resident."
    )
    return [note]
