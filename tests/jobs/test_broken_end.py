"""A body that breaks after its last byte: if the bytes have the digest, the job is finished."""

import pytest

from spsd.jobs.job import Job
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.run import JobRun
from tests.transfer.http.wire import wire

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDS = {
    "malformed-chunk": b"z\r\n",
    "malformed-trailer": b"0\r\nno trailer\r\n\r\n",
    "cut": b"",
    "error-page": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
}


def chunks(content, size=70_000):
    for at in range(0, len(content), size):
        part = content[at : at + size]
        yield b"%x\r\n" % len(part) + part + b"\r\n"


async def run(bench, *replies) -> tuple[Job, int]:
    async with wire(*replies) as server:
        job = await bench.claimed(server.url("/image.iso"))
        await JobRun(job, bench.resources).run()
        return await bench.resources.jobs.get(job.key), len(server.requests)


@pytest.mark.parametrize("end", ENDS)
async def test_every_byte_came_before_the_end_broke(bench, end):
    reply = [CHUNKED, *chunks(bench.content), 0.05, ENDS[end]]
    job, requests = await run(bench, reply)
    assert (job.state, requests) == (JobState.FINISHED, 1), job.error
    assert bench.installed() == bench.content
    history = await bench.resources.jobs.history(job.key)
    [verified] = [step for step in history if step.cause is Trigger.VERIFY]
    assert verified.evidence.startswith("ended by ")


@pytest.mark.parametrize("end", ENDS)
async def test_a_broken_body_is_continued_after_its_bytes(bench, end):
    """The origin breaks the first body in the middle, and sends the rest of it on request."""
    content = bench.content
    first = [CHUNKED.replace(b"\r\n\r\n", b'\r\nETag: "1"\r\n\r\n'), *chunks(content[:150_000])]
    rest = content[150_000:]
    head = (
        f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(rest)}\r\n"
        f'ETag: "1"\r\nContent-Range: bytes 150000-{len(content) - 1}/{len(content)}\r\n\r\n'
    )
    job, requests = await run(bench, [*first, 0.05, ENDS[end]], [head.encode(), rest])
    assert (job.state, requests) == (JobState.FINISHED, 2), job.error
    assert bench.installed() == content
    history = await bench.resources.jobs.history(job.key)
    [failed] = [step.evidence for step in history if step.cause is Trigger.FAIL]
    assert failed.startswith("cut_off: " if end == "cut" else "protocol: ")


@pytest.mark.parametrize("etag", [b'"\xff\xfe"', b'"\x80', b'"a\x01b"', b'"\xe2\x80\xae"'])
async def test_an_etag_that_cannot_be_sent_back_counts_as_none(bench, etag):
    """It could not be stored either: the first answer with such bytes ended the daemon."""
    content = bench.content
    head = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %d\r\n\r\n" % (etag, len(content))
    job, requests = await run(bench, [head, content[:100_000]], [head, content])
    assert (job.state, requests) == (JobState.FINISHED, 2), job.error
    assert bench.installed() == content
