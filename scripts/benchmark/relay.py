"""A far server: a relay on loopback that delays, and limits the rate of each connection.

relay.py SERVER_PORT BYTES_PER_SECOND DELAY_S prints its port, and serves until it is ended. What
goes through arrives DELAY_S later, either way; a connection takes a round trip to be set up.
"""

import asyncio
import sys
from contextlib import suppress

BLOCK = 16 * 1024


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, rate: float
) -> None:
    """Each block leaves when it has come and the line is free; ``rate`` 0: no limit."""
    now = asyncio.get_running_loop().time
    # What is on its way: what the line carries in a round trip, and a little.
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(
        max(16, int(2 * delay_s * rate / BLOCK))
    )

    async def take() -> None:
        with suppress(ConnectionError):
            while block := await reader.read(BLOCK):
                await way.put((now() + delay_s, block))
        await way.put((now() + delay_s, b""))

    taking = asyncio.create_task(take())
    free_at = now()
    try:
        while True:
            due, block = await way.get()
            free_at = max(free_at, due) + (len(block) / rate if rate else 0)
            await asyncio.sleep(free_at - now())
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


async def serve(server_port: int, rate: float, delay_s: float) -> None:
    """Print the port, and serve until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(2 * delay_s)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, far_writer, delay_s, 0))
                    group.create_task(_pass_on(far_reader, writer, delay_s, rate))
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
        asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
