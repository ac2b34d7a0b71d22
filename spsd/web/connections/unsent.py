"""Long response bodies: they are written in slices, and what they hold together is bounded.

aiohttp writes a body of bytes at once, and the transport copies what the client does not read. A
body in slices is held once, however many clients read it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

SLICE: Final = 16 * 1024
"""Bytes of a body that are written at a time."""
MOST_UNSENT_BYTES: Final = 32 * 1024 * 1024
"""What the bodies of all responses may hold together until clients have read them."""


class UnsentBodies:
    """The bodies of the responses that are being sent; each object counts once."""

    def __init__(self, most_bytes: int = MOST_UNSENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held = 0
        self._senders: Counter[int] = Counter()

    @property
    def are_too_many(self) -> bool:
        """Whether the bodies hold more than they may."""
        return self._held > self._most_bytes

    @contextmanager
    def sending(self, body: bytes) -> Iterator[None]:
        """Within the context ``body`` is sent."""
        if not self._senders[id(body)]:
            self._held += len(body)
        self._senders[id(body)] += 1
        try:
            yield
        finally:
            self._senders[id(body)] -= 1
            if not self._senders[id(body)]:
                del self._senders[id(body)]
                self._held -= len(body)


class SlicedBody(Payload):
    """A body that is written in slices, each when the client has read enough of those before."""

    def __init__(
        self, body: bytes, sending: Callable[[bytes], AbstractContextManager[None]]
    ) -> None:
        super().__init__(body)
        self._body = body
        self._size = len(body)
        self._sending = sending

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""
        with self._sending(self._body):
            for begin in range(0, len(self._body), SLICE):
                await writer.write(self._body[begin : begin + SLICE])
                # aiohttp waits for the client only after each 64 KiB.
                await writer.drain()
                # A lost connection takes everything: over TLS the rest would be encrypted for it
                # before the loop could notify its protocol.
                await asyncio.sleep(0)
