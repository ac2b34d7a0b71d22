"""One download, over http or https: spsd, its peers, and the floor."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from scripts.programs.bench.appliance import SPSD, Appliance, Start
from scripts.programs.bench.measuring import GB, Series
from scripts.programs.bench.peers import BASELINE, FLOOR, Contender, Peer
from scripts.programs.bench.place import Place
from scripts.programs.bench.racing import race
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.scale import Scale

_OBJECT: Final = "object"


async def measure(
    place: Place, peers: Sequence[Peer], scale: Scale, *, tls: bool, with_spsd: bool
) -> Part:
    """Every contender in turns. The floor knows no TLS."""
    appliance = Appliance()
    contenders: list[Contender] = [one for one in peers if one.name != FLOOR or not tls]
    contenders += [appliance] if with_spsd else []
    scheme = "https" if tls else "http"
    with place.serving(tls=tls) as server:
        source = server.source(_OBJECT, scale.size)
        series = await race(place, contenders, source, rounds=scale.rounds, what=scheme)
    return report(scheme, scale, series, appliance.starts)


def report(
    scheme: str, scale: Scale, series: Mapping[str, Series], starts: Sequence[Start] = ()
) -> Part:
    """The table with its ratios, and the figures for the goals."""
    fastest = fastest_peer(series)
    beside = [name for name in dict.fromkeys((BASELINE, fastest, FLOOR)) if name in series]
    head = ["Who", "wall s", "runs", "CPU s", "CPU s/GB", "peak MiB"]
    cpu_beside = [name for name in (BASELINE,) if name in series]
    head += [f"wall / {name}" for name in beside] + [f"CPU / {name}" for name in cpu_beside]
    rows = [
        [
            name,
            f"{one.wall_s:.2f}",
            one.spread,
            f"{one.cpu_s:.2f}",
            f"{one.cpu_s * GB / scale.size:.2f}",
            f"{one.peak_mib:.0f}",
            *(f"{one.wall_s / series[other].wall_s:.2f}" for other in beside),
            *(f"{one.cpu_s / series[other].cpu_s:.2f}" for other in cpu_beside),
        ]
        for name, one in series.items()
    ]
    notes = [f"The fastest peer is {fastest}."] if fastest else []
    return Part(
        f"One download of {scale.size / GB:g} GB, {scheme}, {scale.rounds} rounds",
        [Table(head, rows)],
        _figures(scheme, series, fastest),
        [*notes, *_told(starts)],
        {name: [asdict(sample) for sample in one.samples] for name, one in series.items()},
    )


def fastest_peer(series: Mapping[str, Series]) -> str:
    """The name of the fastest that is neither spsd nor the floor; empty if there is none."""
    walls = {name: one.wall_s for name, one in series.items() if name not in (SPSD, FLOOR)}
    return min(walls, key=lambda name: walls[name], default="")


def _figures(scheme: str, series: Mapping[str, Series], fastest: str) -> Mapping[str, float]:
    if SPSD not in series:
        return {}
    ours = series[SPSD]
    figures = {f"{scheme} peak": ours.peak_mib}
    others = {BASELINE: BASELINE, "fastest": fastest, FLOOR: FLOOR}
    for word, name in others.items():
        if name in series:
            figures[f"{scheme} wall/{word}"] = ours.wall_s / series[name].wall_s
            figures[f"{scheme} cpu/{word}"] = ours.cpu_s / series[name].cpu_s
    return figures


def _told(starts: Sequence[Start]) -> Sequence[str]:
    if not starts:
        return []
    ready = statistics.median(one.ready_s for one in starts)
    cpu = statistics.median(one.cpu_s for one in starts)
    resident = statistics.median(one.resident_mib for one in starts)
    told = (
        f"Not part of it: the daemon's start, {ready:.2f} s to its ready line and {cpu:.2f} s"
        f" of CPU up to the first log-in; then it has {resident:.0f} MiB resident."
    )
    return [told]
