"""A far server: a relay on loopback that delays, and limits the rate of each connection, or of all.

relay.py SERVER_PORT BYTES_PER_SECOND DELAY_S [shared] prints its port, and serves until it is
ended. What goes through arrives DELAY_S later, either way; a connection takes a round trip to be
set up. With `shared` the rate is that of all connections together.
"""

import asyncio
import sys
from contextlib import suppress

BLOCK = 16 * 1024


class Line:
    """What one block at a time goes through; ``rate`` in bytes a second, 0: no limit."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    def passed_at(self, due: float, size: int) -> float:
        """When a block will have passed that is there at ``due``, after all those before it."""
        self._free_at = max(self._free_at, due) + (size / self.rate if self.rate else 0)
        return self._free_at


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, line: Line
) -> None:
    """Each block leaves when it has come and the line is free."""
    now = asyncio.get_running_loop().time
    # What is on its way: what the line carries in a round trip, and a little.
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(
        max(16, int(2 * delay_s * line.rate / BLOCK))
    )

    async def take() -> None:
        with suppress(ConnectionError):
            while block := await reader.read(BLOCK):
                await way.put((now() + delay_s, block))
        await way.put((now() + delay_s, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, block = await way.get()
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
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def serve(server_port: int, rate: float, delay_s: float, *, shared: bool) -> None:
    """Print the port, and serve until cancelled."""
    everybodys = Line(rate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(2 * delay_s)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, far_writer, delay_s, Line(0)))
                    line = everybodys if shared else Line(rate)
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
