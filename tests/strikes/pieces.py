"""Bodies in pieces of one size, so that every run makes the same steps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from spsd.failures import OriginError
from tests.strikes.steps import Steps

PIECE = 1000


class Gate:
    """Lets ``after`` pieces of downloads pass and holds the next; None: it holds none."""

    def __init__(self, news: Callable[[], None]) -> None:
        self.after: int | None = None
        self.holds = False
        self._news = news
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Hold nothing any more."""
        self._opened.set()

    async def pass_by(self) -> None:
        if self.after is None or self._opened.is_set():
            return
        if self.after > 0:
            self.after -= 1
            return
        self.holds = True
        self._news()
        await self._opened.wait()


class Piecemeal:
    """The real origin, whose body comes in pieces of one size; held after so many, if told so."""

    def __init__(self, real: Any, gate: Gate) -> None:
        self._real = real
        self._gate = gate

    @asynccontextmanager
    async def open(self, url: str, ask: Any) -> AsyncIterator[Any]:
        async with self._real.open(url, ask) as answer:
            yield _Pieces(answer, self._gate)


class _Pieces:
    def __init__(self, answer: Any, gate: Gate) -> None:
        self.head = answer.head
        self.evidence = answer.evidence
        self._answer = answer
        self._gate = gate

    async def read_into(self, room: memoryview) -> int:
        most, come = min(PIECE, len(room)), 0
        try:
            while come < most and (size := await self._answer.read_into(room[come:most])):
                come += size
        except OriginError:
            # The real answer says so again when it is asked for more.
            if come == 0:
                raise
        if come == PIECE:
            await self._gate.pass_by()
        return come

    def close(self) -> None:
        self._answer.close()


class Body:
    """What a client uploads, each piece a step."""

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
