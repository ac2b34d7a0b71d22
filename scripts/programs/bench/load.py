"""Clients of an HTTP server that cost next to nothing: raw sockets, prepared requests."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from scripts.programs.bench.measuring import BenchError

_BLOCK: Final = 256 * 1024
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """The seconds of each answer, and those from the first request to the last answer."""

    latencies_s: Sequence[float]
    wall_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.wall_s


@dataclass
class Line:
    """One kept-alive connection, with at most one request under way."""

    port: int
    status: int
    """What every answer must have."""
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0
    _body_at: int = 0
    _ends_at: int = 0

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.received.clear()
        self._body_at = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read what is there; gives the body when the answer is whole.

        Raises:
            BenchError: another status, or the server hung up.
        """
        block = self.socket.recv(_BLOCK)
        if not block:
            raise BenchError("the daemon hung up on a client")
        self.received += block
        if not self._body_at and not self._read_head():
            return None
        if len(self.received) < self._ends_at:
            return None
        return bytes(self.received[self._body_at :])

    def _read_head(self) -> bool:
        head, found, _ = bytes(self.received).partition(b"\r\n\r\n")
        if not found:
            return False
        if int(head.split(b" ", 2)[1]) != self.status:
            raise BenchError(f"the daemon answered {bytes(self.received[:500])!r}")
        self._body_at = len(head) + len(found)
        self._ends_at = self._body_at + _length(head)
        return True

    def exchange(self, request: bytes) -> tuple[float, bytes]:
        """Send, and wait for the whole answer; gives the seconds that took, and the body."""
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
    port: int, request: bytes, *, interval_s: float, goes_on: Callable[[int, bytes], bool]
) -> Load:
    """One client that asks at fixed times, or as soon as the last answer has come.

    ``goes_on`` is asked after each answer, with the number of answers and the body.
    """
    line = Line(port, 200)
    latencies: list[float] = []
    began = time.perf_counter()
    try:
        body = b""
        while not latencies or goes_on(len(latencies), body):
            due = began + len(latencies) * interval_s
            time.sleep(max(0, due - time.perf_counter()))
            latency, body = line.exchange(request)
            latencies.append(latency)
    finally:
        line.close()
    return Load(latencies, time.perf_counter() - began)


def flat_out(port: int, requests: Iterator[bytes], *, clients: int, status: int) -> Load:
    """So many clients, each with the next request as soon as its last is answered."""
    lines = [Line(port, status) for _ in range(clients)]
    latencies: list[float] = []
    began = time.perf_counter()
    try:
        with selectors.DefaultSelector() as selector:
            waiting = sum(_next(line, requests) for line in lines)
            for line in lines:
                selector.register(line.socket, selectors.EVENT_READ, line)
            while waiting:
                for key, _ in selector.select(_PATIENCE_S) or _silence():
                    if key.data.receive() is not None:
                        latencies.append(time.perf_counter() - key.data.sent_at)
                        waiting -= not _next(key.data, requests)
    finally:
        for line in lines:
            line.close()
    return Load(latencies, time.perf_counter() - began)


def _next(line: Line, requests: Iterator[bytes]) -> bool:
    request = next(requests, None)
    if request is not None:
        line.send(request)
    return request is not None


def _silence() -> Sequence[tuple[selectors.SelectorKey, int]]:
    raise BenchError(f"the daemon did not answer within {_PATIENCE_S:.0f} s")
