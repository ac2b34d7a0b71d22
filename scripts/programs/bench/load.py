"""HTTP clients that need little CPU time: raw sockets and prepared requests."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from scripts.programs.bench.samples import BenchError

_BLOCK: Final = 256 * 1024
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """The latency of each response, and the time from the first request to the last response."""

    latencies_s: Sequence[float]
    wall_s: float

    @property
    def rate(self) -> float:
        """Responses per second."""
        return len(self.latencies_s) / self.wall_s


@dataclass
class Connection:
    """A persistent connection with at most one request at a time."""

    port: int
    status: int
    """The status that every response must have."""
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0
    _body_at: int = 0
    _ends_at: int = 0

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Send the next request."""
        self.received.clear()
        self._body_at = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read once from the socket; gives the body when the response is complete, else None.

        Raises:
            BenchError: the response has another status, or the server closed the connection.
        """
        block = self.socket.recv(_BLOCK)
        if not block:
            raise BenchError("the daemon closed the connection of a client")
        self.received += block
        if not self._body_at and not self._read_head():
            return None
        if len(self.received) < self._ends_at:
            return None
        return bytes(self.received[self._body_at :])

    def _read_head(self) -> bool:
        head, end, _ = bytes(self.received).partition(b"\r\n\r\n")
        if not end:
            return False
        if int(head.split(b" ", 2)[1]) != self.status:
            raise BenchError(f"the daemon responded with {bytes(self.received[:500])!r}")
        self._body_at = len(head) + len(end)
        self._ends_at = self._body_at + _length(head)
        return True

    def exchange(self, request: bytes) -> tuple[float, bytes]:
        """Send a request and wait for the response; gives its latency in seconds and its body."""
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return time.perf_counter() - self.sent_at, body

    def close(self) -> None:
        self.socket.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def paced(
    port: int, request: bytes, *, interval_s: float, more: Callable[[int, bytes], bool]
) -> Load:
    """One client that sends a request every ``interval_s``, or when the last response is complete.

    After each response ``more``, called with the number of responses and the last body, decides
    whether another request follows.
    """
    connection = Connection(port, 200)
    latencies: list[float] = []
    began = time.perf_counter()
    try:
        body = b""
        while not latencies or more(len(latencies), body):
            due = began + len(latencies) * interval_s
            time.sleep(max(0, due - time.perf_counter()))
            latency, body = connection.exchange(request)
            latencies.append(latency)
    finally:
        connection.close()
    return Load(latencies, time.perf_counter() - began)


def flat_out(port: int, requests: Iterator[bytes], *, clients: int, status: int) -> Load:
    """``clients`` parallel clients; each sends the next request when its response is complete."""
    connections = [Connection(port, status) for _ in range(clients)]
    latencies: list[float] = []
    began = time.perf_counter()
    try:
        with selectors.DefaultSelector() as selector:
            waiting = sum(_send_next(connection, requests) for connection in connections)
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            while waiting:
                for key, _ in selector.select(_TIMEOUT_S) or _time_out():
                    if key.data.receive() is not None:
                        latencies.append(time.perf_counter() - key.data.sent_at)
                        waiting -= not _send_next(key.data, requests)
    finally:
        for connection in connections:
            connection.close()
    return Load(latencies, time.perf_counter() - began)


def _send_next(connection: Connection, requests: Iterator[bytes]) -> bool:
    """Send the next request; False: there is none."""
    request = next(requests, None)
    if request is not None:
        connection.send(request)
    return request is not None


def _time_out() -> Sequence[tuple[selectors.SelectorKey, int]]:
    raise BenchError(f"the daemon sent no response within {_TIMEOUT_S:.0f} s")
