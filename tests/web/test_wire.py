"""Requests that the HTTP library refuses by itself: the one shape of errors, and a quiet log."""

import asyncio
import gzip
import json
import ssl
import zlib
from dataclasses import dataclass

import pytest

from spsd.web.app import BODY_LIMIT
from tests.web.conftest import Api
from tests.web.test_answers import BODY, FETCH, token_of

HOST = b"Host: x\r\n"
LONG = b"a" * 9000


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its status line, its fields by lower-case name, and its document."""

    line: str
    fields: dict[str, str]
    content: bytes

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def kind(self) -> str:
        return json.loads(self.content)["error"]["type"]


def answers(stream: bytes) -> list[Answer]:
    """All final responses of a connection; an interim response (100) is left out."""
    found = []
    while stream:
        head, blank, rest = stream.partition(b"\r\n\r\n")
        assert blank, stream
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, value in (text.split(": ", 1) for text in lines)}
        length = int(fields.get("content-length", 0))
        if not line.startswith("HTTP/1.1 100 "):
            found.append(Answer(line, fields, rest[:length]))
        stream = rest[length:]
    return found


def is_refusal(answer: Answer) -> bool:
    """Whether it is an error in the one shape, with the fields that every response has."""
    document = json.loads(answer.content)
    assert set(document) == {"error", "meta"}, answer
    assert set(document["error"]) == {"type", "message", "details"}
    assert set(document["meta"]) == {"href", "parent"}
    assert document["error"]["message"]
    assert answer.line.startswith("HTTP/1.1 4"), answer
    assert answer.fields["content-type"] == "application/json"
    assert answer.fields["content-language"] == "en"
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["server"] == "spsd"
    assert "allow" in answer.fields
    return True


def is_quiet(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether nothing was logged but the audit trail."""
    return not [record for record in caplog.records if record.name != "spsd.audit"]


async def send(port: int, *pieces: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """What the server sends until it closes; each piece is sent when the server has read the last.

    The server is in the loop of the test, so it reads a piece before the next one is sent.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(5):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


REFUSED = {
    "a long target": (b"GET /" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "UriTooLong"),
    "a long value": (
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: /" + LONG + b"\r\n\r\n",
        431,
        "RequestHeaderFieldsTooLarge",
    ),
    "a long name": (
        b"GET / HTTP/1.1\r\n" + LONG + b": x\r\n\r\n",
        431,
        "RequestHeaderFieldsTooLarge",
    ),
    "many fields": (
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 200 + b"\r\n",
        431,
        "RequestHeaderFieldsTooLarge",
    ),
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "bytes of a method": (b"\xff\x00\x01 / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "TLS on a plain port": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", 400, "MalformedRequest"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "MalformedRequest"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "MalformedRequest"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "a version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "MalformedRequest"),
    "two Host": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "MalformedRequest"),
    "NUL": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400, "MalformedRequest"),
    "a name": (b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400, "MalformedRequest"),
    "a folded line": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "MalformedRequest"),
    "a bare LF": (b"GET / HTTP/1.1\nHost: x\n\n", 400, "MalformedRequest"),
    "a target": (b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "a relative target": (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "MalformedRequest"),
    "a length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        400,
        "MalformedRequest",
    ),
    "a negative length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        400,
        "MalformedRequest",
    ),
    "a huge length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        400,
        "MalformedRequest",
    ),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        "MalformedRequest",
    ),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"  # noqa: ISC004 - one request
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "MalformedRequest",
    ),
    "a transfer coding": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        400,
        "MalformedRequest",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_library_refuses_has_the_one_shape(api: Api, caplog, name: str) -> None:
    sent, status, kind = REFUSED[name]
    port = (await api.client(None)).port
    for pieces in ((sent,), (sent[: len(sent) // 2], sent[len(sent) // 2 :])):
        last = answers(await send(port, *pieces))[-1]
        assert is_refusal(last)
        assert (last.status, last.kind) == (status, kind)
        assert json.loads(last.content)["meta"] == {"href": "/", "parent": None}
        assert b"aaaa" not in last.content, "bytes of the request"
        assert last.fields["connection"] == "close"
    assert is_quiet(caplog)


async def test_the_one_shape_over_tls(api: Api, caplog) -> None:
    await api.start(server={"plain_http": False})
    port = (await api.client(None)).port
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    streams = await asyncio.gather(
        *(send(port, sent, tls=context) for sent, _, _ in REFUSED.values())
    )
    for stream, (_, status, kind) in zip(streams, REFUSED.values(), strict=True):
        last = answers(stream)[-1]
        assert is_refusal(last)
        assert (last.status, last.kind) == (status, kind)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("head", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
async def test_a_refusal_reaches_a_client_that_still_sends(api: Api, head: bytes) -> None:
    port = (await api.client(None)).port
    [answer] = answers(await send(port, head + b"a" * 20_000, *[b"a" * 60_000] * 20))
    assert is_refusal(answer)
    assert answer.status in (414, 431)


async def test_an_expectation_at_an_unknown_path_is_refused_in_the_one_shape(api: Api) -> None:
    client = await api.client()
    cookie = b"Cookie: session_id=" + token_of(client).encode() + b"\r\n"
    for line in (b"GET /nope", b"PUT " + FETCH.encode()):
        sent = line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: x\r\n" + cookie
        [answer] = answers(await send(client.port, sent + b"\r\n"))
        assert is_refusal(answer)
        assert (answer.status, answer.kind) == (417, "ExpectationFailed")


def gzipped(content: bytes) -> bytes:
    """Without the time, which would differ between the processes that collect this test."""
    return gzip.compress(content, mtime=0)


def post(client, *fields: str, body: bytes = b"", path: str = FETCH) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Cookie: session_id={token_of(client)}\r\n" if client is not None else ""
    return (head + "".join(f"{field}\r\n" for field in fields) + "\r\n").encode() + body


async def test_a_bad_chunk_ends_the_request_at_once(api: Api, caplog) -> None:
    client = await api.client()
    head = post(client, "Transfer-Encoding: chunked")
    first, *_ = answers(await send(client.port, head, b"2\r\n{}\r\n", b"zz\r\n"))
    assert is_refusal(first)
    assert (first.status, first.kind) == (400, "InvalidRequestBodyError")
    assert is_quiet(caplog)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "x", "ü", "gzip,"])
async def test_another_content_coding_is_refused(api: Api, caplog, coding: str) -> None:
    client = await api.client()
    for path in (FETCH, "/api/upload/firmware", "/api/firmware/test"):
        sent = post(
            client, f"Content-Encoding: {coding}", "Content-Length: 2", body=b"{}", path=path
        )
        [answer] = answers(await send(client.port, sent))
        assert is_refusal(answer)
        assert (answer.status, answer.kind) == (415, "UnsupportedContentCoding"), path
        assert answer.fields["accept-encoding"] == "gzip, deflate, identity"
        assert json.loads(answer.content)["meta"]["href"] == path
    assert is_quiet(caplog)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (("Content-Encoding: br", "Content-Length: 2"), b"{}"),
        (("Transfer-Encoding: chunked",), b"zz\r\n"),
    ],
    ids=["coding", "chunks"],
)
async def test_without_a_session_the_body_is_not_read(
    api: Api, fields: tuple[str, ...], body: bytes
) -> None:
    port = (await api.client(None)).port
    sent = post(None, *fields, body=body)
    for pieces in ((sent,), (sent[:-3], sent[-3:])):
        [answer] = answers(await send(port, *pieces))
        assert (answer.status, answer.kind) == (401, "Unauthenticated")


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzipped(BODY.encode())),
        ("GZIP", gzipped(BODY.encode())),
        ("x-gzip", gzipped(BODY.encode())),
        ("gzip", gzipped(BODY[:9].encode()) + gzipped(BODY[9:].encode())),
        ("deflate", zlib.compress(BODY.encode())),
        ("deflate", zlib.compress(BODY.encode())[2:-4]),
        ("identity", BODY.encode()),
    ],
    ids=["gzip", "GZIP", "x-gzip", "two members", "zlib", "deflate", "identity"],
)
async def test_the_codings_that_are_read(api: Api, coding: str, content: bytes) -> None:
    client = await api.client()
    sent = post(client, f"Content-Encoding: {coding}", f"Content-Length: {len(content)}")
    for pieces in ((sent + content,), (sent, content[:1], content[1:20], content[20:])):
        [answer] = answers(await send(client.port, *pieces))
        assert answer.status == 202, answer


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip at all",
        gzipped(BODY.encode())[:-1],
        gzipped(BODY.encode())[:-8] + b"12345678",
        gzipped(BODY.encode()) + b"x",
        b"",
    ],
    ids=["no gzip", "truncated", "another checksum", "more", "empty"],
)
async def test_a_body_that_is_not_in_its_coding(api: Api, caplog, content: bytes) -> None:
    client = await api.client()
    for path in (FETCH, "/api/upload/firmware"):
        fields = ("Content-Encoding: gzip", f"Content-Length: {len(content)}")
        [answer] = answers(await send(client.port, post(client, *fields, path=path) + content))
        assert is_refusal(answer)
        assert answer.status in (400, 422)
        assert answer.kind in ("InvalidRequestBodyError", "NotAnImage")
    assert is_quiet(caplog)


async def test_a_decompression_bomb_is_refused_within_the_limit(api: Api, caplog) -> None:
    client = await api.client()
    bomb = gzip.compress(b" " * (72 * 1024 * 1024))
    assert len(bomb) > BODY_LIMIT
    for content in (bomb, bomb[:BODY_LIMIT]):
        sent = post(client, "Content-Encoding: gzip", f"Content-Length: {len(content)}")
        [answer] = answers(await send(client.port, sent, content))
        assert is_refusal(answer)
        assert (answer.status, answer.kind) == (413, "RequestBodyTooLarge")
    assert is_quiet(caplog)


async def test_the_rest_of_a_bomb_does_not_hold_up_others(api: Api) -> None:
    """The rest of a body is read after an early response; it is not decompressed then."""
    client = await api.client(None)
    bomb = gzip.compress(b" " * (512 * 1024 * 1024), 1)
    sent = post(None, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
    sending = asyncio.create_task(send(client.port, sent + bomb))
    loop = asyncio.get_running_loop()
    longest = 0.0
    while not sending.done():
        start = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - start)
    [answer] = answers(await sending)
    assert answer.status == 401
    assert longest < 0.2
