"""Bodies in pieces of one size, so that every run makes the same steps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from spsd.failures import OriginError
from tests.faults.steps import Steps

PIECE = 1000


class Gate:
    """Lets ``after`` pieces of downloads pass and blocks the next; None: it blocks none."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self.after: int | None = None
        self.holds = False
        self._notified_event = notify
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Block no piece any more."""
        self._opened.set()

    async def pass_piece(self) -> None:
        if self.after is None or self._opened.is_set():
            return
        if self.after > 0:
            self.after -= 1
            return
        self.holds = True
        self._notified_event()
        await self._opened.wait()


class PiecewiseOrigin:
    """The real origin, with its bodies in pieces of one size that pass a gate."""

    def __init__(self, real: Any, gate: Gate) -> None:
        self._real = real
        self._gate = gate

    @asynccontextmanager
    async def open(self, url: str, request: Any) -> AsyncIterator[Any]:
        async with self._real.open(url, request) as answer:
            yield _Pieces(answer, self._gate)


class _Pieces:
    def __init__(self, answer: Any, gate: Gate) -> None:
        self.head = answer.head
        self.evidence = answer.evidence
        self._answer = answer
        self._gate = gate

    async def read_into(self, room: memoryview) -> int:
        limit, count = min(PIECE, len(room)), 0
        try:
            while count < limit and (size := await self._answer.read_into(room[count:limit])):
                count += size
        except OriginError:
            # The real response raises again at the next read.
            if count == 0:
                raise
        if count == PIECE:
            await self._gate.pass_piece()
        return count

    def close(self) -> None:
        self._answer.close()


class Body:
    """The body of a client's upload; each piece is a step."""

    def __init__(self, content: bytes, steps: Steps) -> None:
        self._pieces = iter([content[at : at + PIECE] for at in range(0, len(content), PIECE)])
        self._steps = steps

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if (piece := await self._steps.around("body.next", self._next)) is None:
            raise StopAsyncIteration
        return piece

    async def _next(self) -> bytes | None:
        return next(self._pieces, None)
