"""No value in a path, a query or a header field causes an internal error or a traceback.

Requests are sent as bytes over a real socket: a client library would refuse to send most of them.
"""

import asyncio
import logging
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spsd.jobs.job import Job, JobKey
from tests.web.conftest import Api

FETCH, SLOTS = b"/api/firmware/fetch", b"/api/firmware/slots"
HUGE = b"9" * 5000
"""More digits than int() converts."""
EDGES = [2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**19, 10**30]
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
    st.sampled_from(EDGES).map(lambda number: str(number).encode()),
    st.sampled_from(
        [HUGE, b"-" + HUGE, b"0" * 5000, b"1e400", b"1e-400", b"NaN", b"Infinity", b"+1", b"1_0"]
    ),
    st.text("٠١٢٣४५６７²①", min_size=1, max_size=4).map(str.encode),
    st.sampled_from([b"", b" ", b"0", b"-0", b"01", b"1.0", b"0x10", b"1,2"]),
)
TEXTS = st.one_of(
    NUMBERS,
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: text.encode(errors="surrogatepass")),
    st.lists(NUMBERS, max_size=5).map(b".".join),
    st.sampled_from(
        [b"\xed\xa0\x80", b"\xff", b"\x00", b"%00", b"%ff", b'W/"', b'"', b"../..", b"*"]
    ),
)
ENCODED = st.one_of(
    TEXTS.map(lambda text: quote_from_bytes(text).encode()),
    TEXTS.map(lambda text: bytes(byte for byte in text if byte not in b"\x00\r\n \t?#/")),
)
FIELD_VALUES = TEXTS.map(lambda text: bytes(byte for byte in text if byte not in b"\x00\r\n"))
TARGETS = st.sampled_from(
    [
        b"GET " + FETCH + b"?limit=%b",
        b"GET " + FETCH + b"?after=%b",
        b"GET " + FETCH + b"?after=a&limit=%b",
        b"GET " + FETCH + b"?status=%b",
        b"GET " + FETCH + b"?since=x&wait=%b",
        b"GET " + FETCH + b"?wait=0&since=%b",
        b"GET " + FETCH + b"?%b",
        b"GET " + FETCH + b"/%b",
        b"GET " + FETCH + b"/a?since=x&wait=%b",
        b"GET " + FETCH + b"/%b/history",
        b"DELETE " + FETCH + b"/%b",
        b"HEAD " + FETCH + b"/%b",
        b"GET " + SLOTS + b"/%b",
        b"GET " + SLOTS + b"/%b/manifest",
        b"DELETE " + SLOTS + b"/%b",
        b"GET /api/%b",
        b"GET /%b",
    ]
)
FIELDS = st.sampled_from(
    [
        b"GET " + FETCH + b" HTTP/1.1\r\nAccept: text/event-stream\r\nLast-Event-ID: %b",
        b"GET " + FETCH + b"/a HTTP/1.1\r\nAccept: text/event-stream\r\nLast-Event-ID: %b",
        *(
            b"GET " + FETCH + b" HTTP/1.1\r\n" + name + b": %b"
            for name in (
                b"If-None-Match",
                b"If-Match",
                b"If-Modified-Since",
                b"If-Range",
                b"Range",
                b"Accept",
                b"Expect",
                b"Cookie",
                b"X-Forwarded-For",
                b"Spsd-Background",
                b"Max-Forwards",
                b"Keep-Alive",
            )
        ),
        b"GET /api/authentication HTTP/1.1\r\nAuthorization: Basic %b",
        b"GET /metrics HTTP/1.1\r\nAuthorization: Bearer %b",
        b"POST " + FETCH + b" HTTP/1.1\r\nContent-Length: 2\r\nOrigin: %b\r\nX: {}",
        b"POST /api/upload/firmware HTTP/1.1\r\nContent-Length: 0\r\nRepr-Digest: %b",
        b"POST /api/upload/firmware HTTP/1.1\r\nContent-Length: 0\r\nRepr-Digest: sha-256=:%b:",
        b"POST /api/upload/firmware HTTP/1.1\r\nContent-Length: 0\r\nX-Checksum-Sha256: %b",
        b"POST /api/upload/firmware HTTP/1.1\r\nContent-Length: 0\r\nContent-Type: %b",
    ]
)
BOUNDED = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


class Wire:
    """A session, and requests in it as bytes."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port)
        self._cookie = f"session_id={token}".encode()

    async def status(self, head: bytes) -> int:
        """The status of the response to a request with this head."""
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            cookie = b"" if b"\r\nCookie:" in head else b"Cookie: " + self._cookie + b"\r\n"
            writer.write(head + b"\r\nHost: x\r\nConnection: close\r\n" + cookie + b"\r\n")
            async with asyncio.timeout(20):
                line = await reader.readline()
        finally:
            writer.transport.abort()
        version, status, *_ = line.split()
        assert version.startswith(b"HTTP/1.")
        return int(status)


async def wire(api: Api) -> Wire:
    """The same at each call of one test: Hypothesis calls a test many times."""
    if not api.clients:
        api.clients.append(await api.client())
        await api.jobs.add(Job.submitted(JobKey("a"), "http://x/a", "a" * 64, now=1))
    [client] = api.clients
    token = client.session.cookie_jar.filter_cookies(client.make_url("/"))["session_id"].value
    return Wire(str(client.host), int(client.port or 0), token)


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@BOUNDED
@given(target=TARGETS, value=ENCODED)
@example(target=b"GET " + FETCH + b"?after=%b", value=b"\xff")
@example(target=b"GET " + FETCH + b"/%b", value=b"\xff")
@example(target=b"GET " + SLOTS + b"/%b", value=b"\xed\xa0\x80")
@example(target=b"GET /api/%b", value=b"\xff")
async def test_no_path_and_no_query_causes_an_internal_error(
    api: Api, caplog: pytest.LogCaptureFixture, target: bytes, value: bytes
) -> None:
    caplog.clear()
    status = await (await wire(api)).status(target.replace(b"%b", value) + b" HTTP/1.1")
    assert status < 500, (target, value)
    assert tracebacks(caplog) == []


@BOUNDED
@given(head=FIELDS, value=FIELD_VALUES)
@example(
    head=b"GET " + FETCH + b" HTTP/1.1\r\nAccept: text/event-stream\r\nLast-Event-ID: LIFE.0.%b",
    value=HUGE,
)
@example(
    head=b"GET " + FETCH + b" HTTP/1.1\r\nAccept: text/event-stream\r\nLast-Event-ID: LIFE.%b.0",
    value=b"9223372036854775808",
)
async def test_no_header_field_causes_an_internal_error(
    api: Api, caplog: pytest.LogCaptureFixture, head: bytes, value: bytes
) -> None:
    caplog.clear()
    life = api.feed.revisions.life.encode()
    status = await (await wire(api)).status(head.replace(b"LIFE", life).replace(b"%b", value))
    assert status < 500, (head, value)
    assert tracebacks(caplog) == []


@BOUNDED
@given(parts=st.lists(NUMBERS, min_size=1, max_size=4))
async def test_no_event_id_of_this_daemon_causes_an_internal_error(
    api: Api, caplog: pytest.LogCaptureFixture, parts: list[bytes]
) -> None:
    caplog.clear()
    last = b".".join([api.feed.revisions.life.encode(), *parts])
    head = b"GET " + FETCH + b" HTTP/1.1\r\nAccept: text/event-stream\r\nLast-Event-ID: "
    status = await (await wire(api)).status(head + last)
    assert status == 200 if len(last) < 8000 else status < 500  # a longer field is refused
    assert tracebacks(caplog) == []
