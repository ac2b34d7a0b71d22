"""The API during downloads, and with many records."""

import asyncio
import itertools
import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from scripts.programs.bench.appliance import TimedDaemon, fetch_all, start_daemon, usage
from scripts.programs.bench.load import Load, flat_out, paced
from scripts.programs.bench.records import copy_finished_job
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.samples import MIB, BenchError, percentile
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.tools import say
from scripts.programs.bench.workspace import Server, Workspace
from spsd.testing.origin import Hang, Origin
from testbed.driver import FETCH

_AT_ONCE: Final = 4
_JOBS: Final = 8
_INTERVAL_S: Final = 0.01
_CLIENTS: Final = (1, 32)
_FEW: Final = 10
_LISTINGS: Final = 20
_STARTS: Final = 3


async def measure(workspace: Workspace, scale: Scale) -> Part:
    """Latency idle and during downloads, POSTs per second, long lists, idle CPU, start time."""
    with workspace.serving(stalls_after=scale.partial) as server:
        busy, idle = await _beside_downloads(workspace, server, scale)
        posts = await _posts(workspace, scale)
        records = await _with_records(workspace, server, scale)
    latency = {"idle": _quantiles(idle), f"{_AT_ONCE} downloads at full speed": _quantiles(busy)}
    slow, quick = _quantiles(busy)["p99"], _quantiles(idle)["p99"]
    rates = {clients: load.rate for clients, load in posts.items()}
    few, many = records["listings"]
    growth = (many["ms"] / few["ms"]) / (many["bytes"] / few["bytes"])
    note = (
        f"One client sends {1 / _INTERVAL_S:.0f} requests per second, or fewer if a response takes"
        f" longer; {_JOBS} downloads of {scale.size / _AT_ONCE / 1e6:g} MB each, {_AT_ONCE} at a"
        " time."
    )
    return Part(
        "The API",
        [
            Table(
                ("GET of the list", "p50 ms", "p99 ms", "requests"),
                [
                    [name, f"{load['p50']:.2f}", f"{load['p99']:.2f}", f"{load['count']:.0f}"]
                    for name, load in latency.items()
                ],
            ),
            Table(
                ("Durable POSTs", "per second", "p50 ms", "p99 ms"),
                [
                    [
                        f"{clients} client{'s' * (clients > 1)}",
                        f"{load.rate:.0f}",
                        *(f"{_quantiles(load)[name]:.2f}" for name in ("p50", "p99")),
                    ]
                    for clients, load in posts.items()
                ],
            ),
            Table(
                ("List of", "KiB", "ms"),
                [
                    [
                        f"{list_['records']:,.0f}",
                        f"{list_['bytes'] / 1024:.0f}",
                        f"{list_['ms']:.2f}",
                    ]
                    for list_ in records["listings"]
                ],
            ),
            Table(
                (f"With {scale.records:,} records", ""),
                [
                    ["idle CPU", f"{records['idle_percent']:.2f} %"],
                    ["resident", f"{records['resident_mib']:.0f} MiB"],
                    ["start to ready", f"{records['start_s']:.2f} s"],
                    [
                        f"start to ready with a partial of {scale.partial / 1e9:g} GB",
                        f"{records['start_with_partial_s']:.2f} s",
                    ],
                ],
            ),
        ],
        {
            "api p99 busy/idle": slow / quick,
            "api p99 busy": slow,
            "api posts 32/1": rates[_CLIENTS[1]] / rates[_CLIENTS[0]],
            "api list time/bytes": growth,
            "api idle cpu": records["idle_percent"],
            "api start": records["start_with_partial_s"],
        },
        [note],
        {
            "busy_s": busy.latencies_s,
            "idle_s": idle.latencies_s,
            "posts": {str(clients): load.latencies_s for clients, load in posts.items()},
            "records": records,
        },
    )


def _quantiles(load: Load) -> Mapping[str, float]:
    """The median and the 99th percentile in milliseconds, and the number of requests."""
    latencies_ms = [1000 * latency for latency in load.latencies_s]
    return {
        "p50": percentile(latencies_ms, 50),
        "p99": percentile(latencies_ms, 99),
        "count": len(latencies_ms),
    }


async def _beside_downloads(
    workspace: Workspace, server: Server, scale: Scale
) -> tuple[Load, Load]:
    """The latency of the list of downloads while they run, and of the same list afterwards."""
    say("api: latency during downloads")
    sources = [server.source(f"api-{n}", scale.size // _AT_ONCE) for n in range(_JOBS)]
    with workspace.fresh() as into:
        async with start_daemon(into, fetch={"concurrent": _AT_ONCE}) as daemon:
            request = _request(daemon, "GET", FETCH)
            for source in sources:
                await daemon.submit(source.url, source.sha256)
            busy = await asyncio.to_thread(
                paced, _port(daemon), request, interval_s=_INTERVAL_S, more=_any_active
            )
            idle = await asyncio.to_thread(
                paced,
                _port(daemon),
                request,
                interval_s=_INTERVAL_S,
                more=lambda count, _: count < scale.requests,
            )
            _, document = await daemon.call("GET", FETCH)
            if failed := [item for item in document["items"] if item["body"]["error"]]:
                raise BenchError(f"spsd: {json.dumps(failed[0])}")
    for source in sources:
        (workspace.objects / source.url.rpartition("/")[2]).unlink()
    return busy, idle


def _any_active(_count: int, body: bytes) -> bool:
    """Whether the list in ``body`` has a download that has not ended."""
    return b'"in-progress"' in body or b'"queued"' in body


async def _posts(workspace: Workspace, scale: Scale) -> Mapping[int, Load]:
    """Submit jobs while the only job that may run waits for its origin."""
    loads = {}
    numbers = itertools.count()
    for clients in _CLIENTS:
        say(f"api: POSTs of {clients}")
        with workspace.fresh() as into:
            async with (
                Origin({"/waits": b""}, always=Hang(0)) as origin,
                start_daemon(into) as daemon,
            ):
                await daemon.submit(origin.url("/waits"), f"{next(numbers):064x}")
                await origin.wait_for_requests(1)
                count = scale.posts if clients > 1 else max(1, scale.posts // 4)
                requests = _submissions(daemon, itertools.islice(numbers, count))
                loads[clients] = await asyncio.to_thread(
                    flat_out, _port(daemon), requests, clients=clients, status=202
                )
    return loads


def _submissions(daemon: TimedDaemon, numbers: Iterator[int]) -> Iterator[bytes]:
    for number in numbers:
        body = {"url": f"http://127.0.0.1:9/{number}", "checksum": {"sha256": f"{number:064x}"}}
        yield _request(daemon, "POST", FETCH, json.dumps(body).encode())


async def _with_records(workspace: Workspace, server: Server, scale: Scale) -> dict[str, Any]:
    """A short and a long list; then idle CPU and start time with the long list."""
    say(f"api: {scale.records} records")
    small = server.source("small", MIB)
    large = server.source("object", scale.size)
    with workspace.fresh() as into:
        async with start_daemon(into) as daemon:
            await fetch_all(daemon, [small])
            await _copies(daemon, _FEW - 1)
            few = await _listing(daemon)
            await _copies(daemon, scale.records - _FEW)
            many = await _listing(daemon)
            idle = await _idle_percent(daemon, scale.idle_s)
            resident = usage(daemon).resident_mib
            start = await _restarts(daemon)
            stalls = large.url.replace(server.base, f"{server.base}/stalls")
            key = await daemon.submit(stalls, large.sha256)
            almost_all = scale.partial - MIB
            body = await daemon.until(
                key,
                lambda body: (
                    body["bytes_downloaded"] >= almost_all
                    or body["status"] in ("finished", "failed")
                ),
            )
            if body["status"] != "in-progress":
                raise BenchError(f"spsd: {json.dumps(body)}")
            with_partial = await _restarts(daemon)
            partials = [daemon.state / "staging" / name / "image" for name in daemon.staged()]
            if not any(path.stat().st_size >= almost_all for path in partials):
                raise BenchError("no partial download is left after the starts")
    return {
        "listings": [few, many],
        "idle_percent": idle,
        "resident_mib": resident,
        "start_s": start,
        "start_with_partial_s": with_partial,
    }


async def _copies(daemon: TimedDaemon, count: int) -> None:
    await daemon.stop()
    await asyncio.to_thread(copy_finished_job, _database(daemon), count)
    await daemon.start()


async def _listing(daemon: TimedDaemon) -> Mapping[str, float]:
    load = await asyncio.to_thread(
        paced,
        _port(daemon),
        _request(daemon, "GET", FETCH),
        interval_s=0,
        more=lambda count, _: count < _LISTINGS,
    )
    _, document = await daemon.call("GET", FETCH)
    assert daemon.client is not None
    async with daemon.client.get(daemon.url + FETCH) as response:
        size = len(await response.read())
    return {
        "records": len(document["items"]),
        "bytes": size,
        "ms": 1000 * statistics.median(load.latencies_s),
    }


async def _idle_percent(daemon: TimedDaemon, seconds: float) -> float:
    before = usage(daemon).cpu_s
    await asyncio.sleep(seconds)
    return 100 * (usage(daemon).cpu_s - before) / seconds


async def _restarts(daemon: TimedDaemon) -> float:
    """The median of seconds from a start to the ready line, each after a SIGKILL."""
    times_s = []
    for _ in range(_STARTS):
        await daemon.kill()
        await daemon.start()
        times_s.append(daemon.ready_s)
    return statistics.median(times_s)


def _request(daemon: TimedDaemon, method: str, path: str, content: bytes = b"") -> bytes:
    assert daemon.client is not None
    cookies = daemon.client.cookie_jar
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Cookie: " + "; ".join(f"{cookie.key}={cookie.value}" for cookie in cookies),
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _port(daemon: TimedDaemon) -> int:
    return int(daemon.url.rpartition(":")[2])


def _database(daemon: TimedDaemon) -> Path:
    return daemon.state / "spsd.sqlite"
