"""Downloads while many read along, against the same without a reader."""

import selectors
import socket
import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from scripts.programs.bench.appliance import TimedDaemon, fetched, started
from scripts.programs.bench.measuring import BenchError
from scripts.programs.bench.place import Place, Source
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.tools import say
from testbed.driver import FETCH

_BLOCK: Final = 256 * 1024
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """So many readers beside the downloads, once: bytes a second in all, CPU seconds, events."""

    readers: int
    rate: float
    cpu_s: float
    events: int


class Readers:
    """Connections that read events, all in one thread that does nothing else."""

    def __init__(self, requests: Sequence[tuple[int, bytes]]) -> None:
        self.events = 0
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        for port, request in requests:
            line = socket.create_connection(("127.0.0.1", port))
            line.sendall(request)
            # It reads along as soon as it has the list.
            if b" 200 " not in line.recv(_BLOCK):
                raise BenchError("the daemon does not stream events")
            line.settimeout(0)
            self._selector.register(line, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                block = key.fileobj.recv(_BLOCK)
                if not block:
                    raise BenchError("the daemon hung up on a reader")
                self.events += block.count(b"\nevent: download\n")

    @contextmanager
    def reading(self) -> Iterator["Readers"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()


async def measure(place: Place, scale: Scale) -> Part:
    """The same downloads in turns without and with readers."""
    runs: dict[int, list[Run]] = {0: [], scale.readers: []}
    with place.serving() as server:
        jobs = scale.read_jobs
        sources = [server.source(f"events-{n}", scale.size // jobs) for n in range(jobs)]
        for number in range(scale.few_rounds):
            turns = list(runs) if number % 2 == 0 else list(reversed(runs))
            for readers in turns:
                say(f"events: {readers} readers")
                runs[readers].append(await _run(place, sources, readers))
        for source in sources:
            (place.objects / source.url.rpartition("/")[2]).unlink()
    rates = {n: statistics.median(run.rate for run in taken) for n, taken in runs.items()}
    rows = [
        [
            str(readers),
            f"{rates[readers] / 1e6:.0f}",
            f"{rates[readers] / rates[0]:.2f}",
            f"{statistics.median(run.cpu_s for run in taken):.2f}",
            f"{statistics.median(run.events for run in taken):,.0f}",
        ]
        for readers, taken in runs.items()
    ]
    return Part(
        f"{jobs} downloads of {scale.size / jobs / 1e6:g} MB and readers of events,"
        f" {scale.few_rounds} rounds",
        [Table(("Readers", "MB/s in all", "rate / no reader", "CPU s", "events"), rows)],
        {"events rate": rates[scale.readers] / rates[0]},
        samples={str(n): [asdict(run) for run in taken] for n, taken in runs.items()},
    )


async def _run(place: Place, sources: Sequence[Source], readers: int) -> Run:
    with place.fresh() as into:
        async with started(into, fetch={"concurrent": len(sources)}) as daemon:
            with Readers([_request(daemon)] * readers).reading() as along:
                sample, _ = await fetched(daemon, sources)
    total = sum(source.size for source in sources)
    return Run(readers, total / sample.wall_s, sample.cpu_s, along.events)


def _request(daemon: TimedDaemon) -> tuple[int, bytes]:
    assert daemon.client is not None
    cookies = daemon.client.cookie_jar
    session = "; ".join(f"{one.key}={one.value}" for one in cookies)
    head = f"GET {FETCH} HTTP/1.1\r\nHost: localhost\r\nCookie: {session}\r\n"
    request = f"{head}Accept: text/event-stream\r\n\r\n".encode()
    return int(daemon.url.rpartition(":")[2]), request
