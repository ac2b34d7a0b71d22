"""What an origin sends is not repeated in errors, histories and the log, and no text is long."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.failures import SENTENCE_LIMIT, VALUE_LIMIT, FailureCode, JobError, bounded
from spsd.jobs.run import JobRun
from spsd.text import visible
from tests.transfer.http.wire import wire

SECRET = "Xk9-signature-Qq7"
OK = b"HTTP/1.1 200 OK\r\n"
LONGEST = 4000
"""The most characters of one error: the sentence, its facts and the advice."""


def field(name, value):
    return f"{name}: {value}\r\n".encode()


COOKIE = field("Set-Cookie", f"id={SECRET}")
CHUNKED = OK + field("Transfer-Encoding", "chunked")
REPLIES = {
    "long-cookie": [OK, field("Set-Cookie", f"id={SECRET}" + "c" * 100_000), b"\r\n"],
    "cookie-and-bad-field": [OK, COOKIE * 20, b"bad field \x01: x\r\n\r\n"],
    "cookie-with-nul": [OK, field("Set-Cookie", f"id={SECRET}\0"), b"\r\n"],
    "field-is-the-secret": [OK, f"{SECRET}\x01: x\r\n\r\n".encode()],
    "secret-name": [OK, f"{SECRET} : x\r\n\r\n".encode()],
    "head-ends": [OK, COOKIE],
    "head-ends-after-a-pause": [OK, COOKIE, 0.1, b"Content-Len"],
    "many-fields": [OK, COOKIE * 5000, b"\r\n"],
    "status-line": [f"HTTP/1.1 {SECRET}\r\n\r\n".encode()],
    "status-rubbish": [f"{SECRET} {'r' * 2_000_000}\r\n\r\n".encode()],
    "long-reason": [f"HTTP/1.1 404 {SECRET}{'r' * 100_000}\r\n\r\n".encode()],
    "reason": [f"HTTP/1.1 404 {SECRET}\r\nContent-Length: 0\r\n\r\n".encode()],
    "location": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://[bad/image?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "location-port": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://h:99999999/image?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "location-host": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://{'h' * 70}.test/image?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "location-user": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://me:{SECRET}@127.0.0.1:1/image?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "location-control": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://127.0.0.1:1/\x01?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "location-not-utf-8": [
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe.test/?sig=",
        SECRET.encode(),
        b"\r\nContent-Length: 0\r\n\r\n",
    ],
    "location-percent": [
        b"HTTP/1.1 302 Found\r\n",
        field("Location", f"http://%zz.test/%zz?sig={SECRET}"),
        b"Content-Length: 0\r\n\r\n",
    ],
    "etag": [OK, field("ETag", f'"{SECRET}'), b"Content-Length: 5\r\n\r\nhello"],
    "length": [OK, field("Content-Length", SECRET), b"\r\n"],
    "length-twice": [OK, field("Content-Length", "5") * 2, COOKIE, b"\r\nhello"],
    "encoding": [OK, field("Transfer-Encoding", SECRET), b"\r\nhello"],
    "chunk": [CHUNKED, COOKIE, b"\r\n", 0.1, f"{SECRET}\r\n".encode()],
    "chunk-extension": [CHUNKED, b"\r\n", 0.1, f"5;{SECRET}\x00\r\nhello\r\n".encode()],
    "trailer": [CHUNKED, b"\r\n", 0.1, b"0\r\n", COOKIE, f"no {SECRET}\r\n\r\n".encode()],
    "another-protocol": [f"220 {SECRET} ESMTP\r\n".encode()],
    "cut": [OK, COOKIE, b"Content-Length: 100\r\n\r\n", 0.05, SECRET.encode()],
}


@pytest.mark.parametrize("name", REPLIES)
async def test_no_byte_of_a_reply_is_repeated(bench, caplog, name):
    with caplog.at_level(logging.DEBUG):
        async with wire(REPLIES[name]) as server:
            job = await bench.claimed(server.url("/image.iso"))
            await JobRun(job, bench.resources).run()
        # Exceptions of tasks and futures are logged when these are collected.
        await asyncio.sleep(0)
    job = await bench.resources.jobs.get(job.key)
    assert job.error is not None
    history = [step.evidence or "" for step in await bench.resources.jobs.history(job.key)]
    for text in (job.error, *history, *(record.getMessage() for record in caplog.records)):
        assert SECRET not in text
        assert len(text) <= LONGEST
    assert SECRET not in caplog.text
    assert "RawResponseMessage" not in job.error


async def test_what_an_origin_may_be_quoted_with_is_bounded_and_printable(bench):
    value = b"a\x7f\xe2\x80\xae" + b"b" * 7000
    async with wire([OK, b"Content-Encoding: " + value, b"\r\nContent-Length: 3\r\n\r\nabc"]) as at:
        job = await bench.claimed(at.url("/image.iso"))
        await JobRun(job, bench.resources).run()
    job = await bench.resources.jobs.get(job.key)
    assert job.code is FailureCode.CODED or job.code is FailureCode.PROTOCOL
    assert job.error.isprintable()
    assert len(job.error) <= LONGEST


async def test_a_parsers_sentence_is_quoted_with_the_name_of_a_known_field(bench):
    async with wire([OK, b"Set-Cookie\x01: a\r\n\r\n"]) as server:
        job = await bench.claimed(server.url("/image.iso"))
        await JobRun(job, bench.resources).run()
    job = await bench.resources.jobs.get(job.key)
    assert "does not speak HTTP: Invalid header token (field Set-Cookie) (host" in job.error


@given(st.text(max_size=50), st.integers(min_value=1, max_value=40))
def test_a_bounded_text_is_short_and_printable(text, limit):
    shown = bounded(text, limit)
    assert len(shown) <= limit
    assert visible(shown) == shown
    assert bounded(shown, limit) == shown
    if visible(text) == text and len(text) <= limit:
        assert shown == text


@given(st.text(), st.dictionaries(st.sampled_from("abc"), st.text() | st.integers()))
def test_an_error_of_a_job_is_bounded(what, evidence):
    error = JobError(
        FailureCode.CUT_OFF, what * 100, {name: str(value) * 90 for name, value in evidence.items()}
    )
    assert len(error.what) <= SENTENCE_LIMIT
    assert all(len(str(value)) <= VALUE_LIMIT for value in error.evidence.values())
    assert visible(error.sentence()) == error.sentence()
