"""Random requests over a real socket: no 500, no traceback, and every refusal has the one shape.

The cases are the same in each run; `--long` runs more of them. SPSD_WIRE_CASES sets the number,
SPSD_FIRST_WIRE_CASE=7 with SPSD_WIRE_CASES=1 runs one again.
"""

import asyncio
import gzip
import json
import os
import random
import re

import pytest

from tests.web.conftest import PASSWORD, Api, basic
from tests.web.test_answers import BODY, FETCH, KEY, LOG_IN, token_of
from tests.web.test_wire import answers, is_refusal

CASES, LONG = 400, 20_000
AT_ONCE = 16
PATIENCE_S = 0.3
"""How long a case waits for an answer that the bytes it has sent may not lead to."""
TOKENS = (
    b"\r\n",
    b"\n",
    b"\x00",
    b"\xff",
    b"\xc3\xbc",
    b"\xed\xa0\x80",
    b" ",
    b"\t",
    b":",
    b"%",
    b"%00",
    b"%ff",
    b"%ed%a0%80",
    b"?",
    b"&",
    b"#",
    b"//",
    b"/../",
    b"*",
    b"[",
    b"http://",
    b"http://[::1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HEAD",
    b"CONNECT",
    b"OPTIONS",
    b"PRI",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Host: \xff\r\n",
    b"Cookie: session_id=\xff; session_id=0\r\n",
    b"Authorization: Basic /////w==\r\n",
    b"Origin: null\r\n",
    b"Origin: http://x\r\n",
    b'If-None-Match: \xff, W/"\r\n',
    b"Accept-Encoding: \xff\r\n",
    b"Content-Type: multipart/form-data; boundary=\xff\r\n",
    b"Content-Type: multipart/form-data; boundary*0=a\r\n",
    b"Repr-Digest: sha-256=:\xff:\r\n",
    b"X-Forwarded-For: \xff, [\r\n",
    b"Range: bytes=0-\r\n",
    b"a" * 9000,
    b"0\r\n\r\n",
    b"5\r\n",
    b"ffffffffffffffffff\r\n",
    b"9" * 400,
    b"[" * 400,
    b'"\\ud800"',
)
END = b"\r\n\r\n\xff\r\n\r\n"
"""What no parser takes for a request: the connection ends unless a body is due."""


def bases(token: str, *fields: str) -> list[bytes]:
    """Correct requests, with and without a session."""
    cookie = f"Cookie: session_id={token}\r\n".encode()
    log_in = f"Authorization: {basic('admin', PASSWORD)['Authorization']}\r\n".encode()

    def request(line: str, head: bytes = b"", body: bytes | None = None) -> bytes:
        length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
        start = f"{line} HTTP/1.1\r\nHost: x\r\n".encode()
        return start + head + length + b"\r\n" + (body or b"")

    form = b'--b\r\nContent-Disposition: form-data; name="firmware"\r\n\r\nx\r\n--b--\r\n'
    chunked = b"Transfer-Encoding: chunked\r\n"
    packed = gzip.compress(BODY.encode())
    return [
        request("GET /", cookie),
        request("GET /"),
        request("GET /api/docs"),
        request("GET /metrics"),
        request(f"GET {LOG_IN}", log_in),
        request(f"DELETE {LOG_IN}"),
        request(f"GET {FETCH}?limit=2&after={KEY}&status=queued", cookie),
        request(f"GET {FETCH}/{KEY}/history?since=x", cookie),
        request(f"DELETE {FETCH}/{KEY}", cookie),
        request(f"POST {FETCH}", cookie, BODY.encode()),
        request(f"POST {FETCH}", cookie + b"Content-Encoding: gzip\r\n", packed),
        request(f"POST {FETCH}", cookie + chunked)
        + b"3\r\n{ \n\r\n1;a=b\r\n}\r\n0\r\nT: x\r\n\r\n",
        request("POST /api/firmware/test", cookie, b'{"slot_id": 2}'),
        request("POST /api/firmware/upgrade", cookie, b'{"slot_id": "1", "message": null}'),
        request("GET /api/firmware/slots/1/manifest", cookie),
        request("DELETE /api/firmware/slots/3", cookie),
        request(
            "POST /api/upload/firmware",
            cookie + b"Content-Type: multipart/form-data; boundary=b\r\n",
            form,
        ),
        request("POST /api/upload/firmware", cookie + b"X-Checksum-Sha256: 00\r\n", b"x"),
    ]


def mutated(rng: random.Random, sent: bytes) -> bytes:
    """The request with some random changes."""
    content = bytearray(sent)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        at, length = rng.randrange(len(content) + 1), rng.randrange(1, 12)
        match rng.randrange(6):
            case 0:
                content[at:at] = rng.choice(TOKENS)
            case 1:
                del content[at : at + length]
            case 2:
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                content[at : at + length] = rng.choice(TOKENS)
            case 4:  # a field or a word of a line
                ends = [m.end() for m in re.finditer(rb"\r\n|[ /?=]", content)] or [0]
                end = rng.choice(ends)
                content[end:end] = rng.choice(TOKENS)
            case _:
                start = rng.randrange(len(content) + 1)
                content[at:at] = content[start : start + length * 8]
    return bytes(content)


def pieces(rng: random.Random, content: bytes) -> list[bytes]:
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    return [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]


async def play(port: int, rng: random.Random, content: bytes) -> bytes:
    """Send the bytes in pieces; what the server has sent until it closes, or falls silent."""
    received = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces(rng, content + END):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while True:
            async with asyncio.timeout(PATIENCE_S):
                piece = await reader.read(65536)
            if not piece:
                return received
            received += piece
    except (ConnectionError, TimeoutError):
        return received
    finally:
        writer.transport.abort()


def faults(content: bytes, received: bytes) -> list[str]:
    """What is wrong with the responses to these bytes."""
    found = []
    if received and not received.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
        found.append("another version")
    if re.search(rb"^HTTP/1\.[01] 5", received, re.MULTILINE):
        found.append("a server error")
    if not found and b"HEAD" not in content and b"HTTP/1.0" not in content:
        for answer in answers(received):
            complete = len(answer.content) == int(answer.fields.get("content-length", 0))
            if answer.status >= 400 and complete and not is_refusal(answer):
                found.append(answer.line)
    return found


@pytest.mark.timeout(900)
async def test_random_requests(api: Api, caplog, tally, request: pytest.FixtureRequest) -> None:
    long = request.config.getoption("--long")
    first = int(os.environ.get("SPSD_FIRST_WIRE_CASE", "1"))
    count = int(os.environ.get("SPSD_WIRE_CASES") or (LONG if long else CASES))
    await api.start(slots={"count": 3, "accept": "any"})
    client = await api.client()
    base = bases(token_of(client))
    answered = 0

    async def case(number: int) -> None:
        nonlocal answered
        rng = random.Random(number)
        content = mutated(rng, rng.choice(base))
        received = await play(client.port, rng, content)
        answered += bool(received)
        failed = [record for record in caplog.records if record.exc_info]
        assert not failed, (number, content, failed[0].exc_text or failed[0].exc_info)
        assert not faults(content, received), (number, content, received[:2000])

    for start in range(first, first + count, AT_ONCE):
        last = min(start + AT_ONCE, first + count)
        await asyncio.gather(*(case(number) for number in range(start, last)))
    tally("random requests over a socket", answered)
    assert answered > count / 2 or count < CASES
    assert (await client.get("/api")).status in (200, 401)


TARGETS = [
    f"{FETCH}?{name}={value}"
    for name in ("limit", "after", "status", "wait", "since", "x")
    for value in ("\xff", "%ff", "%ed%a0%80", "%00", "9" * 5000, "%D9%A1", "-1", "1e9", "NaN", "")
]


@pytest.mark.parametrize("target", [*TARGETS, "/\xff", f"{FETCH}/\xff", "/api/\xed\xa0\x80", "/%"])
async def test_any_bytes_of_a_target(api: Api, caplog, target: str) -> None:
    client = await api.client()
    cookie = f"Cookie: session_id={token_of(client)}\r\n"
    for session in ("", cookie):
        sent = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{session}\r\n"
        received = await play(client.port, random.Random(1), sent.encode("latin-1"))
        [answer] = answers(received)
        assert answer.status in (200, 400, 401, 404, 503), answer
        assert answer.status == 200 or is_refusal(answer)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "member",
    [
        "[" * 60_000,
        '{"url":' * 5_000,
        "[" * 60 + "]" * 60,
        "9" * 60_000,
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\xff"',
        '"\\u0000"',
        "1.5",
        "1e3",
        "0.0000000000001e13",
        "-0",
        "true",
    ],
)
async def test_any_json(api: Api, caplog, member: str) -> None:
    client = await api.client()
    for path, text in (
        (FETCH, f'{{"url": {member}, "checksum": {{"sha256": {member}}}, "mirrors": {member}}}'),
        (FETCH, f'{{"url": "http://x/", "url": {member}, "checksum": {{}}}}'),
        (FETCH, BODY.replace("https://images.example.org/appliance.iso", "http://x/\\ud800")),
        (FETCH, BODY.replace("https://images.example.org/appliance.iso", "http://x/\\u0000")),
        (FETCH, member),
        ("/api/firmware/test", f'{{"slot_id": {member}}}'),
        ("/api/firmware/upgrade", f'{{"slot_id": 1, "message": {member}}}'),
    ):
        for content in (
            text.encode("latin-1"),
            b"\xef\xbb\xbf" + text.encode("latin-1"),
            text.encode("utf-16"),
        ):
            response = await client.post(path, data=content)
            assert response.status in (400, 404, 413), (path, text[:99], await response.text())
            document = json.loads(await response.read())
            assert set(document["error"]) == {"type", "message", "details"}
            assert len(document["error"]["message"]) < 400
    assert not [record for record in caplog.records if record.exc_info]
    assert await api.jobs.list() == []
