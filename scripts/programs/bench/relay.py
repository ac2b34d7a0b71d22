"""A relay on loopback that makes a server appear far away: it adds delay and limits the rate.

    relay.py SERVER_PORT BYTES_PER_SECOND DELAY_S [shared]

prints its port, and serves until it is ended. Bytes arrive DELAY_S later in both directions; to
open a connection takes a round trip. The rate is that of each connection from the server, with
`shared` that of all connections together.
"""

import asyncio
import sys
from contextlib import suppress

BLOCK = 16 * 1024


class Line:
    """A line that carries one block at a time; ``rate`` in bytes per second, 0: no limit."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    def passed_at(self, due: float, size: int) -> float:
        """The time when a block that arrives at ``due`` has passed, after all earlier blocks."""
        self._free_at = max(self._free_at, due) + (size / self.rate if self.rate else 0)
        return self._free_at


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, line: Line
) -> None:
    """Forward blocks; each is sent when its delay is over and the line is free."""
    now = asyncio.get_running_loop().time
    # Blocks in transit: as many as the line carries in a round trip, but at least 16.
    in_transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(
        max(16, int(2 * delay_s * line.rate / BLOCK))
    )

    async def receive() -> None:
        with suppress(ConnectionError):
            while block := await reader.read(BLOCK):
                await in_transit.put((now() + delay_s, block))
        await in_transit.put((now() + delay_s, b""))

    receiving = asyncio.create_task(receive())
    try:
        while True:
            due, block = await in_transit.get()
            await asyncio.sleep(line.passed_at(due, len(block)) - now())
            if not block:
                break
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.transport.abort()
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def serve(server_port: int, rate: float, delay_s: float, *, shared: bool) -> None:
    """Print the port, and serve until cancelled."""
    shared_line = Line(rate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(2 * delay_s)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, far_writer, delay_s, Line(0)))
                    line = shared_line if shared else Line(rate)
                    group.create_task(_pass_on(far_reader, writer, delay_s, line))
            finally:
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=BLOCK)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        port, rate, delay_s, *more = sys.argv[1:]
        asyncio.run(serve(int(port), float(rate), float(delay_s), shared=more == ["shared"]))
