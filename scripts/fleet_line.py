"""An origin's line: a relay on loopback whose connections share one rate towards the clients.

fleet_line.py SERVER_PORT BYTES_PER_SECOND prints its port, and serves until it is ended.
"""

import asyncio
import sys
from contextlib import suppress

BLOCK = 32 * 1024


class Line:
    """A rate that all share; whoever comes waits for those before."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._free_at = 0.0

    async def carry(self, size: int) -> None:
        """Returns when so many bytes have passed."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self._rate
        await asyncio.sleep(self._free_at - now)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line | None
) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(BLOCK):
            if line is not None:
                await line.carry(len(block))
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(server_port: int, bytes_per_s: float) -> None:
    """Print the port, and serve until cancelled."""
    line = Line(bytes_per_s)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, far_writer, None))
                group.create_task(_pass_on(far_reader, writer, line))
        finally:
            far_writer.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=BLOCK)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
