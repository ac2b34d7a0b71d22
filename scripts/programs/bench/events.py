"""Downloads with many event subscribers, compared with the same downloads without any."""

import selectors
import socket
import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from scripts.programs.bench.appliance import TimedDaemon, fetch_all, start_daemon
from scripts.programs.bench.report import Part, Table
from scripts.programs.bench.samples import BenchError
from scripts.programs.bench.scale import Scale
from scripts.programs.bench.tools import say
from scripts.programs.bench.workspace import Source, Workspace
from spsd.web.limits import FollowerShares
from testbed.driver import FETCH, USER

_BLOCK: Final = 256 * 1024
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One run with ``subscribers``; ``rate`` is the total of the downloads in bytes per second."""

    subscribers: int
    rate: float
    cpu_s: float
    events: int


class Subscribers:
    """Connections with event streams, which one thread reads."""

    def __init__(self, requests: Sequence[tuple[int, bytes]]) -> None:
        self.events = 0
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        for port, request in requests:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(request)
            # The subscription exists when the response has begun.
            if b" 200 " not in connection.recv(_BLOCK):
                raise BenchError("the daemon does not stream events")
            connection.settimeout(0)
            self._selector.register(connection, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                block = key.fileobj.recv(_BLOCK)
                if not block:
                    raise BenchError("the daemon closed the connection of a subscriber")
                self.events += block.count(b"\nevent: download\n")

    @contextmanager
    def reading(self) -> Iterator["Subscribers"]:
        """Read events within this context; afterwards all connections are closed."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()


async def measure(workspace: Workspace, scale: Scale) -> Part:
    """The same downloads without and with subscribers, in turns."""
    runs: dict[int, list[Run]] = {0: [], scale.subscribers: []}
    with workspace.serving() as server:
        jobs = scale.subscribed_jobs
        sources = [server.source(f"events-{n}", scale.size // jobs) for n in range(jobs)]
        for number in range(scale.few_rounds):
            turns = list(runs) if number % 2 == 0 else list(reversed(runs))
            for subscribers in turns:
                say(f"events: {subscribers} subscribers")
                runs[subscribers].append(await _run(workspace, sources, subscribers))
        for source in sources:
            (workspace.objects / source.url.rpartition("/")[2]).unlink()
    rates = {n: statistics.median(run.rate for run in taken) for n, taken in runs.items()}
    rows = [
        [
            str(subscribers),
            f"{rates[subscribers] / 1e6:.0f}",
            f"{rates[subscribers] / rates[0]:.2f}",
            f"{statistics.median(run.cpu_s for run in taken):.2f}",
            f"{statistics.median(run.events for run in taken):,.0f}",
        ]
        for subscribers, taken in runs.items()
    ]
    return Part(
        f"{jobs} downloads of {scale.size / jobs / 1e6:g} MB with event subscribers,"
        f" {scale.few_rounds} rounds",
        [Table(("Subscribers", "MB/s in total", "rate / none", "CPU s", "events"), rows)],
        {"events rate": rates[scale.subscribers] / rates[0]},
        samples={str(n): [asdict(run) for run in taken] for n, taken in runs.items()},
    )


async def _run(workspace: Workspace, sources: Sequence[Source], subscribers: int) -> Run:
    with workspace.fresh() as into:
        async with start_daemon(into, fetch={"concurrent": len(sources)}) as daemon:
            with Subscribers(await _requests(daemon, subscribers)).reading() as reading:
                sample, _ = await fetch_all(daemon, sources)
    total = sum(source.size for source in sources)
    return Run(subscribers, total / sample.wall_s, sample.cpu_s, reading.events)


async def _requests(daemon: TimedDaemon, count: int) -> list[tuple[int, bytes]]:
    """Requests for so many event streams: each session, and each user, has a share of them."""
    shares = FollowerShares()
    requests: list[tuple[int, bytes]] = []
    for user, role in ((USER, "admin"), ("viewer", "viewer")):
        await daemon.add_user(user, role)
        for _ in range(shares.account // shares.session):
            await _log_in(daemon, user)
            requests += [_request(daemon)] * min(shares.session, count - len(requests))
    await _log_in(daemon, USER)
    if len(requests) < count:
        raise BenchError(f"{count} event streams are more than two users may have")
    return requests


async def _log_in(daemon: TimedDaemon, user: str) -> None:
    assert daemon.client is not None
    await daemon.client.close()
    await daemon.log_in(user)


def _request(daemon: TimedDaemon) -> tuple[int, bytes]:
    assert daemon.client is not None
    cookies = daemon.client.cookie_jar
    session = "; ".join(f"{cookie.key}={cookie.value}" for cookie in cookies)
    head = f"GET {FETCH} HTTP/1.1\r\nHost: localhost\r\nCookie: {session}\r\n"
    request = f"{head}Accept: text/event-stream\r\n\r\n".encode()
    return int(daemon.url.rpartition(":")[2]), request
