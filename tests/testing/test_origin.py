"""The hostile origin, tested with a client that works on the bytes of the connection."""

import asyncio
import asyncio.sslproto
import gzip
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spsd.testing.origin import (
    ACTS,
    Act,
    Chunked,
    CutAfter,
    Drip,
    Flip,
    Gzip,
    Hang,
    Html,
    IgnoreIfRange,
    IgnoreRange,
    Multipart,
    NeverSatisfyIfRange,
    NoContentRange,
    NoLength,
    NoValidator,
    Origin,
    Redirect,
    Refuse,
    RequestRecord,
    SlowHeaders,
    Status,
    Swap,
    TooLong,
    TooLongChunked,
    TooShort,
    WeakValidator,
    Whole,
    WrongOffset,
    WrongTotal,
    format_act,
    parse_act,
)
from spsd.testing.origin.ranges import Full, Part, Unsatisfiable, if_range_matches, select_range

CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)
OTHER = b"something else"


@dataclass
class Response:
    """A received response; the body has all bytes up to the end of the connection."""

    status_line: str
    headers: dict[str, str]
    body: bytes
    was_reset: bool

    @property
    def status(self) -> int:
        return int(self.status_line.split()[1])


@asynccontextmanager
async def connected(origin: Origin) -> AsyncIterator[socket.socket]:
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", origin.port))
        yield client


async def send(client: socket.socket, method: str, path: str, headers: dict[str, str]) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{k}: {v}" for k, v in headers.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    await asyncio.get_running_loop().sock_sendall(client, head)


async def read_rest(client: socket.socket) -> tuple[bytes, bool]:
    """Return the rest of the received bytes, and whether a reset ended the connection."""
    received = b""
    try:
        while data := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
            received += data
    except ConnectionResetError:
        return received, True
    return received, False


def parsed(raw: bytes, *, was_reset: bool = False) -> Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Response(first, {k.lower(): v for k, v in headers.items()}, body, was_reset)


async def request_once(
    origin: Origin, path: str = "/a.bin", method: str = "GET", **headers: str
) -> Response:
    """Send one request on a new connection and read the response until the connection ends."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with connected(origin) as client:
        await send(client, method, path, {"Connection": "close", **fields})
        raw, was_reset = await read_rest(client)
    return parsed(raw, was_reset=was_reset)


async def read_exactly(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        data = await asyncio.get_running_loop().sock_recv(client, count - len(received))
        assert data, f"the origin stopped after {received!r}"
        received += data
    return received


async def read_head(client: socket.socket) -> Response:
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        raw += await read_exactly(client, 1)
    return parsed(raw)


def serving(*acts: Act, content: bytes | Path = CONTENT, always: Act | None = None) -> Origin:
    return Origin({"/a.bin": content}, acts, always=always)


def decode_chunked(body: bytes) -> bytes:
    plain = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        assert body[length : length + 2] == b"\r\n"
        plain += body[:length]
        body = body[length + 2 :]
        if length == 0:
            assert body == b""
            return plain


# Correct responses


@pytest.mark.parametrize(
    ("value", "size", "selection"),
    [
        (None, 10, Full()),
        ("bytes=0-", 10, Part(0, 10)),
        ("bytes=3-", 10, Part(3, 10)),
        ("bytes=3-5", 10, Part(3, 6)),
        ("bytes=3-3", 10, Part(3, 4)),
        ("bytes=3-99", 10, Part(3, 10)),
        ("BYTES=3-5", 10, Part(3, 6)),
        ("bytes= 3-5 ", 10, Part(3, 6)),
        ("bytes=-4", 10, Part(6, 10)),
        ("bytes=-99", 10, Part(0, 10)),
        ("bytes=-0", 10, Unsatisfiable()),
        ("bytes=10-", 10, Unsatisfiable()),
        ("bytes=10-12", 10, Unsatisfiable()),
        (f"bytes={'9' * 100}-", 10, Unsatisfiable()),
        ("bytes=0-", 0, Unsatisfiable()),
        ("bytes=-1", 0, Full()),
        ("bytes=5-3", 10, Full()),
        ("bytes=-", 10, Full()),
        ("bytes= -", 10, Full()),
        ("bytes=", 10, Full()),
        ("bytes=a-b", 10, Full()),
        ("bytes=--1", 10, Full()),
        ("bytes=0-1,3-4", 10, Full()),
        ("lines=0-1", 10, Full()),
        (f"bytes={'9' * 5000}-", 10, Full()),
    ],
)
def test_range_selection(value: str | None, size: int, selection: object) -> None:
    assert select_range(value, size) == selection


@pytest.mark.parametrize(
    ("if_range", "etag", "holds"),
    [
        ('"v1"', '"v1"', True),
        ('"v2"', '"v1"', False),
        ('W/"v1"', '"v1"', False),
        ('W/"v1"', 'W/"v1"', False),
        ('"v1"', 'W/"v1"', False),
        ("Mon, 01 Jan 2024 00:00:00 GMT", '"v1"', True),
        ("Mon, 01 Jan 2024 00:00:01 GMT", '"v1"', False),
        ("Sun, 31 Dec 2023 00:00:00 GMT", '"v1"', False),
        ("v1", '"v1"', False),
    ],
)
def test_if_range_matches(if_range: str, etag: str, holds: bool) -> None:
    assert if_range_matches(if_range, etag, "Mon, 01 Jan 2024 00:00:00 GMT") is holds


async def test_whole_object_with_its_header_fields() -> None:
    async with serving() as origin:
        response = await request_once(origin)
        assert response.status_line == "HTTP/1.1 200 OK"
        assert response.body == CONTENT
        assert response.headers["content-length"] == str(SIZE)
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers["etag"].startswith('"')
        assert response.headers["etag"].endswith('"')
        assert parsedate_to_datetime(response.headers["last-modified"]).tzinfo is UTC
        age = datetime.now(UTC) - parsedate_to_datetime(response.headers["date"])
        assert age < timedelta(minutes=1)
        assert "content-range" not in response.headers
        (request,) = origin.requests
        assert (request.method, request.path, request.status, request.sent) == (
            "GET",
            "/a.bin",
            200,
            SIZE,
        )
        assert request.headers["host"] == "test"
        assert (request.range, request.if_range) == (None, None)
        assert origin.bytes_sent == SIZE
        assert origin.url("/a.bin") == f"http://127.0.0.1:{origin.port}/a.bin"


async def test_head_is_get_without_a_body_and_without_ranges() -> None:
    async with serving() as origin:
        get, head = (
            await request_once(origin),
            await request_once(origin, method="HEAD", Range="bytes=1-2"),
        )
        assert head.status == 200
        assert head.body == b""
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
        assert origin.bytes_sent == SIZE


async def test_etag_and_content_type_can_be_set() -> None:
    async with Origin({"/a.bin": OTHER}, etag='"v1"', content_type="text/plain") as origin:
        response = await request_once(origin)
    assert response.headers["etag"] == '"v1"'
    assert response.headers["content-type"] == "text/plain"


async def test_same_content_same_etag() -> None:
    async with Origin({"/a": OTHER, "/b": OTHER, "/c": CONTENT}) as origin:
        tags = [(await request_once(origin, path)).headers["etag"] for path in ("/a", "/b", "/c")]
    assert tags[0] == tags[1] != tags[2]


@pytest.mark.parametrize(
    ("value", "content_range", "expected"),
    [
        ("bytes=0-0", f"bytes 0-0/{SIZE}", CONTENT[:1]),
        ("bytes=1000-", f"bytes 1000-{SIZE - 1}/{SIZE}", CONTENT[1000:]),
        ("bytes=-5", f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}", CONTENT[-5:]),
    ],
)
async def test_range_gets_206(
    value: str, content_range: str, expected: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    for content in (CONTENT, file):
        async with serving(content=content) as origin:
            response = await request_once(origin, Range=value)
            assert response.status_line == "HTTP/1.1 206 Partial Content"
            assert response.headers["content-range"] == content_range
            assert response.headers["content-length"] == str(len(expected))
            assert "etag" in response.headers
            assert response.body == expected
            assert origin.requests[0].range == value
            assert origin.bytes_sent == len(expected)


async def test_range_past_the_end() -> None:
    async with serving() as origin:
        response = await request_once(origin, Range=f"bytes={SIZE}-")
    assert response.status == 416
    assert response.headers["content-range"] == f"bytes */{SIZE}"
    assert response.body == b""


async def test_if_range_in_both_forms() -> None:
    async with serving() as origin:
        first = await request_once(origin)
        etag, date = first.headers["etag"], first.headers["last-modified"]
        statuses = {
            value: (await request_once(origin, Range="bytes=5-", If_Range=value)).status
            for value in (etag, date, '"other"', f"W/{etag}", first.headers["date"])
        }
        assert list(statuses.values()) == [206, 206, 200, 200, 200]
        assert [request.if_range for request in origin.requests[1:]] == list(statuses)


async def test_unknown_path_and_unknown_method() -> None:
    async with serving() as origin:
        assert (await request_once(origin, "/b.bin")).status == 404
        refused = await request_once(origin, method="DELETE")
        assert refused.status == 405
        assert refused.headers["allow"] == "GET, HEAD"


async def test_path_is_decoded_and_query_is_ignored() -> None:
    async with Origin({"/a b.bin": OTHER}) as origin:
        assert origin.url("/a b.bin").endswith("/a%20b.bin")
        assert (await request_once(origin, "/a%20b.bin?token=1")).body == OTHER
        assert (await request_once(origin, "http://test/a%20b.bin")).body == OTHER
        assert origin.requests[0].path == "/a%20b.bin?token=1"


async def test_connection_is_kept_alive() -> None:
    async with serving() as origin, connected(origin) as client:
        for start in (0, 100):
            await send(client, "GET", "/a.bin", {"Range": f"bytes={start}-{start + 9}"})
            response = await read_head(client)
            assert "connection" not in response.headers
            assert await read_exactly(client, 10) == CONTENT[start : start + 10]
        await send(client, "HEAD", "/a.bin", {"Connection": "close"})
        assert (await read_head(client)).headers["connection"] == "close"
        assert await read_rest(client) == (b"", False)


async def test_empty_object() -> None:
    async with serving(content=b"") as origin:
        response = await request_once(origin)
    assert (response.status, response.body) == (200, b"")
    assert response.headers["content-length"] == "0"


async def test_file_is_sent_and_its_etag_comes_from_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    content = os.urandom(5 * 1024 * 1024 + 7)
    file.write_bytes(content)
    async with serving(content=file) as origin:
        first = await request_once(origin)
        assert first.body == content
        assert origin.bytes_sent == len(content)
        file.write_bytes(OTHER)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        second = await request_once(origin)
        assert second.body == OTHER
        assert second.headers["etag"] != first.headers["etag"]
        assert second.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        file.unlink()
        assert (await request_once(origin)).status == 404


async def test_file_of_five_gibibytes(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    size = 5 * 1024**3
    with file.open("wb") as sparse:
        sparse.truncate(size)
    async with serving(content=file) as origin:
        assert (await request_once(origin, method="HEAD")).headers["content-length"] == str(size)
        tail = await request_once(origin, Range=f"bytes={size - 10}-")
    assert tail.headers["content-range"] == f"bytes {size - 10}-{size - 1}/{size}"
    assert tail.body == bytes(10)


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /a.bin HTTP/2.0\r\n\r\n",
        b"GET /a.bin HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /a.bin HTTP/1.1\r\nHost : spaced\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET /a.bin HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /a.bin HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_malformed_request_gets_400(head: bytes) -> None:
    async with serving(Status(503)) as origin:
        async with connected(origin) as client:
            await asyncio.get_running_loop().sock_sendall(client, head)
            response = await read_head(client)
        assert response.status == 400
        assert origin.requests == []
        assert (await request_once(origin)).status == 503


async def test_head_above_the_limit_gets_431() -> None:
    async with serving() as origin, connected(origin) as client:
        line = b"GET /a.bin HTTP/1.1\r\nX: "
        await asyncio.get_running_loop().sock_sendall(client, line + b"x" * 200_000)
        assert (await read_head(client)).status == 431


# The script


async def test_each_request_consumes_one_act_and_later_ones_get_a_correct_response() -> None:
    async with serving(Status(500), Status(501)) as origin:
        statuses = [(await request_once(origin)).status for _ in range(4)]
        assert statuses == [500, 501, 200, 200]
        assert [request.status for request in origin.requests] == statuses


async def test_always_applies_after_the_script() -> None:
    async with serving(Whole(), always=Status(500)) as origin:
        assert [(await request_once(origin)).status for _ in range(3)] == [200, 500, 500]


async def test_script_replaces_the_remaining_acts() -> None:
    async with serving(Status(500), Status(501)) as origin:
        assert (await request_once(origin)).status == 500
        origin.script(Status(502))
        assert [(await request_once(origin)).status for _ in range(2)] == [502, 200]


async def test_wait_for_requests_does_not_wait_for_responses() -> None:
    async with serving(Hang(0)) as origin, connected(origin) as client:
        waits = [asyncio.create_task(origin.wait_for_requests(n)) for n in (1, 1, 2)]
        await send(client, "GET", "/a.bin", {})
        await asyncio.gather(*waits[:2])
        assert not waits[2].done()
        await request_once(origin)
        await waits[2]
        await origin.wait_for_requests(0)


# The acts


async def test_swap() -> None:
    async with serving(Whole(), Swap(OTHER), Whole()) as origin:
        first, second, third = [await request_once(origin) for _ in range(3)]
    assert second.body == third.body == OTHER
    assert second.headers["etag"] == third.headers["etag"] != first.headers["etag"]
    assert second.headers["last-modified"] != first.headers["last-modified"]


async def test_swap_makes_if_range_fail() -> None:
    async with serving(Whole(), Swap(OTHER)) as origin:
        etag = (await request_once(origin)).headers["etag"]
        response = await request_once(origin, Range="bytes=5-", If_Range=etag)
    assert (response.status, response.body) == (200, OTHER)


async def test_swap_under_the_old_etag(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    for content in (CONTENT, file):
        async with serving(Whole(), Swap(OTHER, keep_etag=True), content=content) as origin:
            first = await request_once(origin)
            etag = first.headers["etag"]
            second = await request_once(origin, Range="bytes=5-", If_Range=etag)
        assert (second.status, second.body) == (206, OTHER[5:])
        assert second.headers["etag"] == etag
        assert second.headers["last-modified"] == first.headers["last-modified"]


async def test_swap_between_two_requests() -> None:
    async with serving() as origin:
        first = await request_once(origin)
        origin.swap("/a.bin", OTHER, keep_etag=True)
        second = await request_once(origin)
        origin.swap("/a.bin", CONTENT)
        third = await request_once(origin)
    assert (second.body, second.headers["etag"]) == (OTHER, first.headers["etag"])
    assert third.body == CONTENT
    assert third.headers["last-modified"] != first.headers["last-modified"]


async def test_validators_can_be_left_out_of_every_response() -> None:
    async with Origin({"/a.bin": CONTENT}, [CutAfter(3)], validators=False) as origin:
        for response in (await request_once(origin), await request_once(origin, Range="bytes=3-")):
            assert not {"etag", "last-modified"} & set(response.headers)
    assert response.body == CONTENT[3:]


async def test_a_small_send_buffer_counts_few_unread_bytes() -> None:
    """The client reads the head, and its own receive buffer takes only a little of the body."""
    content = bytes(64 * 1024 * 1024)
    async with Origin({"/a.bin": content}, send_buffer=4096) as origin:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        with client:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", origin.port))
            await send(client, "GET", "/a.bin", {})
            await read_head(client)
        assert 0 < origin.bytes_sent < 1024 * 1024


async def test_swap_creates_a_missing_object() -> None:
    async with serving(Swap(OTHER)) as origin:
        assert (await request_once(origin, "/new")).body == OTHER


async def test_refuse_resets_a_new_connection() -> None:
    async with serving(Refuse()) as origin:
        with pytest.raises(ConnectionResetError):
            async with connected(origin) as client:
                await asyncio.get_running_loop().sock_recv(client, 1)
        await origin.wait_for_requests(1)
        assert origin.requests == [RequestRecord()]
        assert (await request_once(origin)).body == CONTENT


async def test_refuse_resets_a_kept_connection_after_the_request() -> None:
    async with serving(Whole(), Refuse()) as origin, connected(origin) as client:
        await send(client, "HEAD", "/a.bin", {})
        await read_head(client)
        await send(client, "GET", "/a.bin", {})
        assert await read_rest(client) == (b"", True)
        assert (origin.requests[1].method, origin.requests[1].status) == ("GET", None)


@pytest.mark.parametrize(
    ("act", "retry_after"),
    [
        (Status(503), None),
        (Status(503, 2), "2"),
        (
            Status(503, "Wed, 21 Oct 2015 07:28:00 GMT", b"later"),
            "Wed, 21 Oct 2015 07:28:00 GMT",
        ),
    ],
)
async def test_status(act: Status, retry_after: str | None) -> None:
    async with serving(act) as origin:
        response = await request_once(origin)
    assert response.status_line == "HTTP/1.1 503 Service Unavailable"
    assert response.headers.get("retry-after") == retry_after
    assert response.headers["content-length"] == str(len(act.body))
    assert response.body == act.body
    assert "etag" not in response.headers


async def test_status_unknown_and_without_a_body() -> None:
    async with serving(Status(599), Status(204)) as origin:
        assert (await request_once(origin)).status == 599
        bodiless = await request_once(origin)
    assert bodiless.status == 204
    assert "content-length" not in bodiless.headers


async def test_html() -> None:
    async with serving(Html("<h1>Bitte anmelden: ä</h1>")) as origin:
        response = await request_once(origin, Range="bytes=5-")
    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.body.decode() == "<h1>Bitte anmelden: ä</h1>"


async def test_redirect() -> None:
    async with serving(Redirect("http://b.test:8/x"), Redirect("/y", 308)) as origin:
        first, second = await request_once(origin), await request_once(origin)
    assert (first.status, first.headers["location"]) == (302, "http://b.test:8/x")
    assert (second.status, second.headers["location"]) == (308, "/y")


async def test_ignore_range() -> None:
    async with serving(IgnoreRange()) as origin:
        response = await request_once(origin, Range="bytes=5-")
    assert (response.status, response.body) == (200, CONTENT)
    assert "content-range" not in response.headers


async def test_ignore_if_range() -> None:
    async with serving(IgnoreIfRange()) as origin:
        response = await request_once(origin, Range="bytes=5-", If_Range='"other"')
    assert (response.status, response.body) == (206, CONTENT[5:])


async def test_never_satisfy_if_range() -> None:
    async with serving(Whole(), always=NeverSatisfyIfRange()) as origin:
        etag = (await request_once(origin)).headers["etag"]
        assert (await request_once(origin, Range="bytes=5-", If_Range=etag)).status == 200
        assert (await request_once(origin, Range="bytes=5-")).status == 206


@pytest.mark.parametrize(("shift", "start"), [(7, 107), (-7, 93), (-1000, 0), (SIZE * 2, SIZE - 1)])
async def test_wrong_offset_has_a_true_content_range(shift: int, start: int) -> None:
    async with serving(WrongOffset(shift)) as origin:
        response = await request_once(origin, Range="bytes=100-")
    assert response.status == 206
    assert response.headers["content-range"] == f"bytes {start}-{SIZE - 1}/{SIZE}"
    assert response.headers["content-length"] == str(SIZE - start)
    assert response.body == CONTENT[start:]


async def test_no_content_range() -> None:
    async with serving(NoContentRange()) as origin:
        response = await request_once(origin, Range="bytes=5-")
    assert (response.status, response.body) == (206, CONTENT[5:])
    assert "content-range" not in response.headers


async def test_wrong_total() -> None:
    async with serving(WrongTotal(9)) as origin:
        response = await request_once(origin, Range="bytes=5-7")
    assert (response.status, response.body) == (206, CONTENT[5:8])
    assert response.headers["content-range"] == "bytes 5-7/9"


async def test_no_validator() -> None:
    async with serving(NoValidator()) as origin:
        response = await request_once(origin)
        assert response.body == CONTENT
        assert not {"etag", "last-modified"} & set(response.headers)
        assert {"etag", "last-modified"} < set((await request_once(origin)).headers)


async def test_weak_validator() -> None:
    async with serving(WeakValidator()) as origin:
        weak, strong = await request_once(origin), await request_once(origin)
    assert weak.headers["etag"] == f"W/{strong.headers['etag']}"


async def test_chunked(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    for content in (CONTENT, file):
        async with serving(Chunked(), content=content) as origin:
            response = await request_once(origin)
            assert response.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in response.headers
            assert decode_chunked(response.body) == CONTENT
            assert origin.bytes_sent == SIZE


async def test_chunked_head_leaves_the_connection_usable() -> None:
    async with serving(Chunked()) as origin, connected(origin) as client:
        for _ in range(2):
            await send(client, "HEAD", "/a.bin", {})
            assert (await read_head(client)).status == 200


async def test_no_length_body_ends_with_the_connection() -> None:
    async with serving(NoLength()) as origin, connected(origin) as client:
        await send(client, "GET", "/a.bin", {})
        raw, was_reset = await read_rest(client)
    response = parsed(raw, was_reset=was_reset)
    assert response.status_line == "HTTP/1.0 200 OK"
    assert not {"content-length", "transfer-encoding"} & set(response.headers)
    assert response.headers["connection"] == "close"
    assert response.body == CONTENT
    assert not response.was_reset


async def test_too_long() -> None:
    async with serving(TooLong(100_000), TooLong(1)) as origin:
        response = await request_once(origin)
        assert response.headers["content-length"] == str(SIZE + 100_000)
        assert len(response.body) == SIZE + 100_000
        assert response.body.startswith(CONTENT)
        part = await request_once(origin, Range="bytes=5-9")
        assert part.headers["content-range"] == f"bytes 5-9/{SIZE}"
        assert part.headers["content-length"] == str(len(part.body)) == "6"


async def test_too_long_chunked() -> None:
    async with serving(TooLongChunked(3)) as origin:
        response = await request_once(origin)
    assert response.headers["transfer-encoding"] == "chunked"
    assert decode_chunked(response.body) == CONTENT + bytes(3)


async def test_too_short() -> None:
    async with serving(TooShort(3), TooShort(SIZE * 2)) as origin:
        response, nothing = await request_once(origin), await request_once(origin)
    assert response.headers["content-length"] == str(SIZE - 3)
    assert response.body == CONTENT[:-3]
    assert (nothing.headers["content-length"], nothing.body) == ("0", b"")


async def test_gzip() -> None:
    async with serving(Gzip()) as origin:
        response = await request_once(origin, Range="bytes=5-")
        assert response.status == 200
        assert response.headers["content-encoding"] == "gzip"
        coded = decode_chunked(response.body)
        assert gzip.decompress(coded) == CONTENT
        assert origin.bytes_sent == len(coded)


@pytest.mark.parametrize(
    ("headers", "first", "last"), [({"Range": "bytes=5-9"}, 5, 9), ({}, 0, SIZE - 1)]
)
async def test_multipart(headers: dict[str, str], first: int, last: int) -> None:
    async with serving(Multipart()) as origin:
        response = await request_once(origin, **headers)
    assert response.status == 206
    kind, _, boundary = response.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert "content-range" not in response.headers
    head, _, body = response.body.partition(b"\r\n\r\n")
    assert head.startswith(f"--{boundary}\r\n".encode())
    assert head.endswith(f"Content-Range: bytes {first}-{last}/{SIZE}".encode())
    assert body == CONTENT[first : last + 1] + f"\r\n--{boundary}--\r\n".encode()
    assert response.headers["content-length"] == str(len(response.body))


@pytest.mark.parametrize("offset", [0, 1000, SIZE - 1])
async def test_flip(offset: int, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    for content in (CONTENT, file):
        async with serving(Flip(offset), content=content) as origin:
            response = await request_once(origin)
        assert response.headers["content-length"] == str(SIZE)
        assert response.body[:offset] == CONTENT[:offset]
        assert response.body[offset] == CONTENT[offset] ^ 0xFF
        assert response.body[offset + 1 :] == CONTENT[offset + 1 :]


async def test_flip_offset_counts_from_the_start_of_the_response_body() -> None:
    async with serving(Flip(2)) as origin:
        response = await request_once(origin, Range="bytes=10-14")
    assert response.body == bytes([10, 11, 12 ^ 0xFF, 13, 14])


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("n", [0, 1000, SIZE - 1, SIZE])
async def test_cut_after(n: int, reset: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    for content in (CONTENT, file):
        async with serving(CutAfter(n, reset=reset), content=content) as origin:
            async with connected(origin) as client:
                await send(client, "GET", "/a.bin", {})
                raw, was_reset = await read_rest(client)
            assert was_reset is reset
            response = parsed(raw)
            assert response.headers["content-length"] == str(SIZE)
            assert "connection" not in response.headers
            assert response.body == CONTENT[:n]
            assert origin.bytes_sent == n


async def test_cut_after_counts_the_bytes_of_this_response() -> None:
    async with serving(CutAfter(3)) as origin:
        response = await request_once(origin, Range="bytes=100-")
    assert response.headers["content-length"] == str(SIZE - 100)
    assert response.body == CONTENT[100:103]


async def test_drip_sends_small_pieces() -> None:
    async with serving(Drip(3, 0.01), content=OTHER) as origin, connected(origin) as client:
        await send(client, "GET", "/a.bin", {})
        await read_head(client)
        pieces = []
        for _ in range(5):
            pieces.append(await asyncio.get_running_loop().sock_recv(client, 100))
            assert origin.bytes_sent == sum(map(len, pieces))
    assert pieces == [OTHER[start : start + 3] for start in range(0, len(OTHER), 3)]


def test_drip_needs_at_least_one_byte() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        Drip(0, 1)


async def test_hang_sends_some_bytes_and_lasts_until_the_client_closes() -> None:
    finished: list[RequestRecord] = []
    ended = asyncio.Event()

    def on_finished(request: RequestRecord) -> None:
        finished.append(request)
        ended.set()

    async with Origin({"/a.bin": CONTENT}, [Hang(10)], on_finished=on_finished) as origin:
        async with connected(origin) as client:
            await send(client, "GET", "/a.bin", {})
            assert (await read_head(client)).headers["content-length"] == str(SIZE)
            assert await read_exactly(client, 10) == CONTENT[:10]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await read_exactly(client, 1)
            assert finished == []
        await ended.wait()
        assert [(request.status, request.sent) for request in finished] == [(200, 10)]


async def test_slow_headers() -> None:
    loop = asyncio.get_running_loop()
    async with serving(SlowHeaders(0.05)) as origin:
        begun = loop.time()
        response = await request_once(origin)
        assert loop.time() - begun >= 0.05
    assert response.body == CONTENT


# Closing


@pytest.mark.parametrize(
    "act", [Hang(10), SlowHeaders(3600), Drip(1, 3600), Whole()], ids=format_act
)
async def test_close_ends_every_connection(act: Act, tmp_path: Path) -> None:
    """Whole() hangs as well: its client does not read the response."""
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(1024**3)
    before = asyncio.all_tasks()
    origin = serving(act, content=file)
    async with origin, connected(origin) as client, connected(origin):
        await send(client, "GET", "/a.bin", {})
        await origin.wait_for_requests(1)
        await origin.close()
        assert asyncio.all_tasks() == before
        await read_rest(client)
    with pytest.raises(ConnectionRefusedError):
        await request_once(origin)


async def test_close_right_after_a_client_connects() -> None:
    async with serving() as origin, connected(origin):
        pass


async def test_failure_of_the_origin_itself_is_raised_by_close(tmp_path: Path) -> None:
    origin = await serving(content=tmp_path).__aenter__()
    async with connected(origin) as client:
        await send(client, "GET", "/a.bin", {})
        assert await read_rest(client) == (b"", False)
    with pytest.raises(ExceptionGroup, match="the origin failed") as failure:
        await origin.close()
    assert failure.group_contains(IsADirectoryError)
    await origin.close()


async def test_client_that_closes_early_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(1024**3)
    ended = asyncio.Event()
    for act in (Whole(), Chunked(), TooLong(5)):
        ended.clear()
        async with Origin({"/a": file}, [act], on_finished=lambda _: ended.set()) as origin:
            async with connected(origin) as client:
                await send(client, "GET", "/a", {})
                await read_exactly(client, 100_000)
            await ended.wait()
            assert 90_000 < origin.bytes_sent < 1024**3


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def ask_over_tls(port: int, path: str, certificate: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(certificate))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    return raw


async def test_tls(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT * 10)
    context = server_context(certificate)
    objects = {"/a.bin": CONTENT, "/file": file}
    async with Origin(objects, [Whole(), Whole(), CutAfter(9)], ssl_context=context) as origin:
        assert origin.url("/a.bin") == f"https://127.0.0.1:{origin.port}/a.bin"
        expected = [("/a.bin", CONTENT), ("/file", CONTENT * 10), ("/file", CONTENT[:9])]
        for path, body in expected:
            assert parsed(await ask_over_tls(origin.port, path, certificate[0])).body == body


async def test_close_during_a_handshake(certificate: tuple[Path, Path]) -> None:
    before = asyncio.all_tasks()
    async with (
        Origin({}, ssl_context=server_context(certificate)) as origin,
        connected(origin) as client,
        connected(origin) as other,
    ):
        await asyncio.get_running_loop().sock_sendall(other, b"this is no handshake at all\r\n\r\n")
        await read_rest(other)
        await origin.close()
        assert await read_rest(client) in [(b"", False), (b"", True)]
    assert asyncio.all_tasks() == before


# Text form of acts

EXAMPLES: list[tuple[str, Act]] = [
    ("whole", Whole()),
    ("swap:abc", Swap(b"abc")),
    ("swap:%00%3A:keep-etag=true", Swap(b"\0:", keep_etag=True)),
    ("swap:a:true", Swap(b"a", keep_etag=True)),
    ("refuse", Refuse()),
    ("status:503", Status(503)),
    ("status:503:2", Status(503, 2)),
    ("status:503:2:try%20later", Status(503, 2, b"try later")),
    ("status:503:body=x", Status(503, None, b"x")),
    (
        "status:503:Wed, 21 Oct 2015 07:28:00 GMT",
        Status(503, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ),
    (
        "status:503:body=x:Wed, 21 Oct 2015 07:28:00 GMT",
        Status(503, "Wed, 21 Oct 2015 07:28:00 GMT", b"x"),
    ),
    ("html:", Html("")),
    ("html:<a href='http://b.test:8/'>", Html("<a href='http://b.test:8/'>")),
    ("html:text=text=1", Html("text=1")),
    ("redirect:http://b.test:8/x?a=%20", Redirect("http://b.test:8/x?a=%20")),
    ("redirect:code=307:http://b.test:8/x", Redirect("http://b.test:8/x", 307)),
    ("ignore-range", IgnoreRange()),
    ("ignore-if-range", IgnoreIfRange()),
    ("never-satisfy-if-range", NeverSatisfyIfRange()),
    ("wrong-offset:-10", WrongOffset(-10)),
    ("no-content-range", NoContentRange()),
    ("wrong-total:9", WrongTotal(9)),
    ("no-validator", NoValidator()),
    ("weak-validator", WeakValidator()),
    ("chunked", Chunked()),
    ("no-length", NoLength()),
    ("too-long:5", TooLong(5)),
    ("too-long-chunked:5", TooLongChunked(5)),
    ("too-short:5", TooShort(5)),
    ("gzip", Gzip()),
    ("multipart", Multipart()),
    ("flip:5", Flip(5)),
    ("cut-after:1000", CutAfter(1000)),
    ("cut-after:1000:true", CutAfter(1000, reset=True)),
    ("drip:1:0.2", Drip(1, 0.2)),
    ("hang:10", Hang(10)),
    ("slow-headers:1.5", SlowHeaders(1.5)),
]


@pytest.mark.parametrize(("text", "act"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_act_as_text(text: str, act: Act) -> None:
    assert parse_act(text) == act
    assert parse_act(format_act(act)) == act


def test_every_act_has_an_example() -> None:
    assert {type(act) for _, act in EXAMPLES} == set(ACTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unheard-of",
        "Whole",
        "whole:1",
        "cut-after",
        "cut-after:",
        "cut-after:many",
        "cut-after:1:perhaps",
        "cut-after:1:true:2",
        "drip:1",
        "drip:0:1",
        "redirect",
    ],
)
def test_text_that_is_no_act(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_act(text)


# The command line


@asynccontextmanager
async def command(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "spsd.testing.origin", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().rstrip("\n")


async def fetch(url: str, *fields: str) -> Response:
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET /{path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""]
    writer.write("\r\n".join(lines).encode())
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    return parsed(raw)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_command_serves_the_script_and_logs(number: signal.Signals, tmp_path: Path) -> None:
    file, other, log = tmp_path / "a.bin", tmp_path / "b c.bin", tmp_path / "log"
    file.write_bytes(CONTENT)
    other.write_bytes(OTHER)
    acts = ("--act", "cut-after:1000", "--act", "status:503:2", "--always", "ignore-range")
    async with command(*acts, "--log", log, file, other) as process:
        url, url_of_other = await read_url(process), await read_url(process)
        assert url.endswith("/a.bin")
        assert url_of_other.endswith("/b%20c.bin")
        assert (await fetch(url)).body == CONTENT[:1000]
        assert (await fetch(url)).headers["retry-after"] == "2"
        response = await fetch(url_of_other, "Range: bytes=3-", 'If-Range: "v"')
        assert (response.status, response.body) == (200, OTHER)
        process.send_signal(number)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
    usual = {"method": "GET", "path": "/a.bin", "range": None, "if_range": None}
    assert [json.loads(line) for line in log.read_text().splitlines()] == [
        {**usual, "status": 200, "sent": 1000},
        {**usual, "status": 503, "sent": 0},
        {
            "method": "GET",
            "path": "/b%20c.bin",
            "range": "bytes=3-",
            "if_range": '"v"',
            "status": 200,
            "sent": len(OTHER),
        },
    ]


@pytest.mark.parametrize("reset", [False, True])
async def test_a_tls_connection_closes_under_python_3_11_2(
    reset: bool, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its TLS transport does not check for a dropped connection in `abort`, as later ones do."""

    transports = asyncio.sslproto._SSLProtocolTransport
    later = transports.abort

    def abort(transport: Any) -> None:
        if transport._ssl_protocol is None:
            raise AttributeError("'NoneType' object has no attribute '_abort'")
        later(transport)

    monkeypatch.setattr(transports, "abort", abort)
    context = await asyncio.to_thread(server_context, certificate)
    trusting = await asyncio.to_thread(
        lambda: ssl.create_default_context(cafile=str(certificate[0]))
    )
    async with Origin(
        {"/a.bin": CONTENT}, [CutAfter(1000, reset=reset)], ssl_context=context
    ) as origin:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", origin.port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(b"GET /a.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(1000) == CONTENT[:1000]
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        if origin._connections:
            await asyncio.wait(origin._connections)
        writer.transport.abort()


async def test_command_serves_https_and_ends_with_a_client_hanging(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    keys = ("--certificate", certificate[0], "--key", certificate[1])
    async with command(*keys, "--act", "whole", "--act", "hang:5", file) as process:
        url = await read_url(process)
        assert url.startswith("https://127.0.0.1:")
        port = int(url.split(":")[2].partition("/")[0])
        assert parsed(await ask_over_tls(port, "/a.bin", certificate[0])).body == CONTENT
        context = ssl.create_default_context(cafile=str(certificate[0]))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(b"GET /a.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == CONTENT[:5]
        process.terminate()
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_command_help_describes_every_act() -> None:
    async with command("--help") as process:
        output, _ = await process.communicate()
    text = output.decode()
    for kind in ACTS:
        assert kind.__doc__ is not None
        assert kind.__doc__ in text
    assert "cut-after:N[:RESET]" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--act", "unheard-of", __file__],
        ["/does/not/exist"],
        [__file__, __file__],
        ["--key", __file__, __file__],
        ["--certificate", __file__, "--key", __file__, __file__],
        [],
    ],
)
async def test_command_refuses_wrong_arguments(arguments: list[str]) -> None:
    async with command(*arguments) as process:
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in errors


async def test_command_reports_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with command("--port", str(port), __file__) as process:
            output, errors = await process.communicate()
    assert (process.returncode, output) == (1, b"")
    line = f"cannot listen on 127.0.0.1, port {port}: Address already in use"
    assert errors.decode() == f"python -m spsd.testing.origin: {line}\n"


async def test_command_prints_a_line_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(OTHER)
    acts = ("--act", "cut-after:4", "--act", "refuse")
    async with command(*acts, file) as process:
        url = await read_url(process)
        await fetch(url, 'If-Range: "v"', "Range: bytes=3-")
        with pytest.raises(ConnectionResetError):
            await fetch(url)
        await fetch(url)
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert output.decode().splitlines() == [
        'GET /a.bin, Range bytes=3-, If-Range "v": 200, 4 bytes sent',
        "a connection, refused",
        f"GET /a.bin: 200, {len(OTHER)} bytes sent",
    ]


async def test_command_quiet_and_with_a_closed_output(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(OTHER)
    async with command("--quiet", file) as process:
        await fetch(await read_url(process))
        process.terminate()
        assert await process.communicate() == (b"", b"")
    reading, writing = os.pipe()
    words = (sys.executable, "-m", "spsd.testing.origin", str(file))
    # With Python's default buffer, whose read_rest would be written at the end, to a closed pipe.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = await asyncio.create_subprocess_exec(
        *words, stdout=writing, stderr=asyncio.subprocess.PIPE, env=buffered
    )
    os.close(writing)
    url = (await asyncio.to_thread(os.read, reading, 1000)).decode().strip()
    os.close(reading)
    for _ in range(2):
        assert (await fetch(url)).body == OTHER
    process.terminate()
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
