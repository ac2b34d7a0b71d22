"""Reading the whole body of a response."""

from spsd.transfer.ports import OriginResponse


async def body_of(response: OriginResponse, *, buffer_bytes: int = 64 * 1024) -> bytes:
    """All bytes of the body, read into a buffer of ``buffer_bytes``."""
    memory, parts = memoryview(bytearray(buffer_bytes)), []
    while size := await response.read_into(memory):
        parts.append(bytes(memory[:size]))
    return b"".join(parts)
