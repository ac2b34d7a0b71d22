"""What the bodies of responses hold, and how they are written."""

import asyncio

import pytest

from spsd.web.connections.unsent import SLICE, SlicedBody, UnsentBodies


def test_each_body_counts_once_and_only_while_it_is_sent() -> None:
    bodies = UnsentBodies(most_bytes=10)
    one, other = b"1234567", b"abcd"
    with bodies.sending(one), bodies.sending(one):
        assert not bodies.are_too_many
        with bodies.sending(other):
            assert bodies.are_too_many
        assert not bodies.are_too_many
    with bodies.sending(other), bodies.sending(other):
        assert not bodies.are_too_many


class LostConnection:
    """A writer whose connection is lost: the loop notices that before its next iteration."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self._lost = False

    async def write(self, chunk: bytes) -> None:
        if self._lost:
            raise ConnectionResetError
        self.written.append(len(chunk))
        asyncio.get_running_loop().call_soon(setattr, self, "_lost", True)

    async def drain(self) -> None:
        """The buffer is never full: what is written to a lost connection is dropped."""


async def test_a_body_is_not_written_to_its_end_if_the_connection_is_lost() -> None:
    """Encrypted for nothing, the bodies of many connections would keep the loop busy."""
    writer = LostConnection()
    body = SlicedBody(bytes(100 * SLICE), UnsentBodies().sending)
    with pytest.raises(ConnectionResetError):
        await body.write(writer)
    assert writer.written == [SLICE]
