"""Reading an origin's answer whole."""

from spsd.transfer.ports import OriginResponse


async def body_of(answer: OriginResponse, *, buffer_bytes: int = 64 * 1024) -> bytes:
    """All bytes of the body, read into rooms of that size."""
    memory, parts = memoryview(bytearray(buffer_bytes)), []
    while size := await answer.read_into(memory):
        parts.append(bytes(memory[:size]))
    return b"".join(parts)
