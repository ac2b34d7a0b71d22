"""An origin in the test's own process, for responses that a real HTTP server cannot send."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Self

from spsd.transfer.rules.messages import RangeRequest, ResponseHead


class ScriptedOrigin:
    """Responds to each request with ``head`` and the blocks that its subclass yields."""

    def __init__(self, **headers: str) -> None:
        self.head = ResponseHead(
            200, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        self.evidence: dict[str, str | int] = {}

    @asynccontextmanager
    async def open(self, url: str, request: RangeRequest) -> AsyncIterator[Self]:
        async with aclosing(self.blocks()) as self._blocks:
            self._rest = b""
            yield self

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError
        yield b""

    async def read_into(self, buffer: memoryview) -> int:
        block = self._rest or await anext(self._blocks, b"")
        size = min(len(block), len(buffer))
        buffer[:size] = block[:size]
        self._rest = block[size:]
        return size
