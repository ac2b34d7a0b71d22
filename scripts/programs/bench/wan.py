"""A far origin that limits the rate of each connection, where several connections are faster."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from scripts.programs.bench.appliance import SPSD, Appliance
from scripts.programs.bench.peers import Contender, Peer
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.rounds import run_rounds
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.workspace import Workspace

_RELAY: Final = Path(__file__).with_name("relay.py")
_PEERS: Final = ("aria2c-x1", "aria2c-x4")


async def measure(workspace: Workspace, peers: Sequence[Peer], scale: Scale) -> Part:
    """spsd with one connection and with four against aria2c with as many."""
    contenders: list[Contender] = [
        *(peer for peer in peers if peer.name in _PEERS),
        *(Appliance(f"{SPSD}-x{n}", {"connections": n}) for n in (1, 4)),
    ]
    with workspace.serving() as server:
        near = server.source("far-object", scale.wan_size)
        async with relaying(server.port, scale) as port:
            far = replace(near, url=f"http://127.0.0.1:{port}/far-object")
            series = await run_rounds(
                workspace, contenders, far, rounds=scale.few_rounds, title="wan"
            )
    rates = {name: scale.wan_size / runs.wall_s for name, runs in series.items()}
    rows = [
        [name, f"{runs.wall_s:.2f}", runs.spread, f"{rates[name] / 1e6:.1f}", f"{runs.cpu_s:.2f}"]
        for name, runs in series.items()
    ]
    figures = {"wan rate 4/1": rates[f"{SPSD}-x4"] / rates[f"{SPSD}-x1"]}
    if _PEERS[1] in series:
        figures["wan wall/aria2c-x4"] = series[f"{SPSD}-x4"].wall_s / series[_PEERS[1]].wall_s
    return Part(
        f"WAN: {scale.wan_size / 1e6:g} MB, {scale.wan_rate / 1e6:g} MB/s per connection,"
        f" round trip {2000 * scale.wan_delay_s:.0f} ms, {scale.few_rounds} rounds",
        [Table(("Contender", "wall s", "runs", "MB/s", "CPU s"), rows)],
        figures,
        samples={
            name: [asdict(sample) for sample in runs.samples] for name, runs in series.items()
        },
    )


@asynccontextmanager
async def relaying(server_port: int, scale: Scale) -> AsyncIterator[int]:
    """Start the relay in front of a server; gives its port.

    The relay is a separate process, so that it takes no time of an event loop that is measured.
    """
    arguments = (str(server_port), str(scale.wan_rate), str(scale.wan_delay_s))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_RELAY), *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.communicate()
