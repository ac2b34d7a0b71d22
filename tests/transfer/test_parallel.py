"""One object over several connections, of which the origin breaks some."""

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.jobs.job import JobKey
from spsd.jobs.lifecycle import JobState
from spsd.jobs.run import JobRun
from spsd.testing.origin import (
    CutAfter,
    Drip,
    Flip,
    Hang,
    IgnoreIfRange,
    IgnoreRange,
    NoContentRange,
    Origin,
    Refuse,
    SlowHeaders,
    Status,
    Swap,
    WeakValidator,
    Whole,
    WrongOffset,
    WrongTotal,
)
from spsd.transfer.parallel import Parallel
from spsd.transfer.ports import Progress
from spsd.transfer.rules.chunks import Splitting
from spsd.transfer.rules.messages import ResponseHead
from spsd.transfer.rules.request import WINDOWS
from testbed.waiting import until
from tests.bench import PATH

KIB = 1024
# At any rate: with so few bytes nothing would be split otherwise.
SPLITTING = Splitting(
    connections=4,
    sample=4 * KIB,
    worthwhile_s=0,
    fast_bytes_per_s=1e12,
    min_chunk=16 * KIB,
    max_chunk=24 * KIB,
    memory=96 * KIB,
)


@pytest.fixture
def bench(bench):
    bench.local_attempts.change_splitting(SPLITTING)
    return bench


def spans(requests):
    """The first and the last byte of each request's Range, None where there is none."""
    for request in requests:
        match = re.fullmatch("bytes=([0-9]+)-([0-9]*)", request.range or "")
        yield match and (int(match[1]), int(match[2]) if match[2] else None)


async def test_every_byte_comes_once(bench):
    job, requests = await bench.fetch(send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert bench.installed() == bench.content
    whole, *parts = spans(requests)
    assert whole is None
    edges = sorted(parts)
    assert len(edges) >= 4
    assert edges[-1][1] == len(bench.content) - 1
    # Each begins where the one before ended, and the first where the first response was closed.
    assert [first for first, _ in edges[1:]] == [last + 1 for _, last in edges[:-1]]
    first_chunk = edges[0][0]
    assert 2 * SPLITTING.sample < first_chunk <= 2 * (SPLITTING.sample + SPLITTING.max_chunk)
    assert all(request.if_range for request in requests[1:])
    assert "connections 4" in (await bench.resources.jobs.history(job.key))[-2].evidence


@pytest.mark.parametrize(
    "act",
    [
        IgnoreRange(),
        IgnoreIfRange(),
        WrongOffset(1),
        WrongOffset(-1),
        NoContentRange(),
        WrongTotal(10**6),
        WeakValidator(),
        CutAfter(0),
        CutAfter(1000),
        CutAfter(1000, reset=True),
        Refuse(),
        Status(503),
        Status(429),
        Hang(0),
        Hang(5000),
        Drip(400, 0.02),
    ],
    ids=str,
)
@pytest.mark.parametrize("which", [[1], [1, 2, 3, 4], [4, 6, 8]], ids=str)
async def test_some_connections_go_wrong(bench, act, which):
    """All connections work but those with the numbers in ``which``; number 0 works too."""
    acts = [act if number in which else Whole() for number in range(max(which) + 1)]
    async with asyncio.timeout(20):
        job, _ = await bench.fetch(*acts)
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content
    assert bench.partials() == []


@pytest.mark.parametrize("act", [CutAfter(20_000), Hang(20_000), Drip(3000, 0.02)], ids=str)
async def test_the_first_connection_goes_wrong(bench, act):
    job, _ = await bench.fetch(act)
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content


async def test_a_long_delay_to_the_origin_makes_no_tiny_chunks(bench):
    """More bytes than the object has are expected before the others are connected."""
    job, requests = await bench.fetch(SlowHeaders(0.2))
    assert job.state is JobState.FINISHED
    assert len(requests) <= 2 + len(bench.content) // SPLITTING.min_chunk


async def test_an_origin_that_accepts_only_one_connection(bench):
    """The one connection continues alone, and no byte is fetched twice."""
    async with asyncio.timeout(20):
        job, requests = await bench.fetch(Whole(), *[Status(503)] * 3, send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert job.spent == 0, "refused further connections are no failed attempt"
    parts = [
        span
        for request, span in zip(requests, spans(requests), strict=True)
        if request.status == 206
    ]
    assert parts[-1][1] is None, "the rest in one piece"


async def test_connections_that_always_break_end_at_the_budget(bench):
    job, _ = await bench.fetch(Whole(), always=CutAfter(0))
    assert job.state is JobState.FAILED
    assert job.error.startswith("cut_off: ")


@pytest.mark.parametrize("keep_etag", [False, True])
async def test_bytes_of_a_changed_object_are_never_installed(bench, keep_etag):
    other = bytes(len(bench.content))
    job, _ = await bench.fetch(Whole(), Whole(), Swap(other, keep_etag=keep_etag))
    assert job.state is JobState.FAILED
    assert job.error.startswith("digest: ")


async def test_a_flipped_byte_costs_one_clean_retry(bench):
    job, _ = await bench.fetch(Whole(), Flip(100_000), Flip(100_000), Flip(100_000))
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content


async def test_an_origin_without_a_strong_validator_gets_one_request(bench):
    job, requests = await bench.fetch(validators=False)
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


async def test_one_connection_if_the_operator_says_so(bench):
    bench.local_attempts.change_splitting(replace(SPLITTING, connections=1))
    job, requests = await bench.fetch()
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


async def test_a_fast_line_needs_one(bench):
    bench.local_attempts.change_splitting(replace(SPLITTING, fast_bytes_per_s=1.0))
    job, requests = await bench.fetch()
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


class Ranges:
    """Sends each requested part completely."""

    def __init__(self, content):
        self.content, self.requests, self.evidence = content, 0, {}

    @asynccontextmanager
    async def open(self, url, request):
        self.requests += 1
        part = self.content[request.offset : request.stop or None]
        span = f"bytes {request.offset}-{request.offset + len(part) - 1}/{len(self.content)}"
        yield Part(part, ResponseHead(206, {"etag": '"a"', "content-range": span}))


class Part:
    def __init__(self, rest, head):
        self.rest, self.head = rest, head

    async def read_into(self, buffer):
        block, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)

    def close(self):
        self.rest = b""


async def test_a_line_with_a_long_delay_and_a_high_rate_gets_few_requests(bench):
    """The first connection alone would fetch everything before the others are connected."""
    content = bench.content
    origin = Ranges(content)

    async def report(_):
        pass

    async with bench.resources.staging.open(Sha256(bench.sha256)) as partial:
        await partial.describe("http://a/", ResponseHead(200, {"etag": '"a"'}), len(content))
        parallel = Parallel(origin, "http://a/", partial, report, now=lambda: 0, windows=WINDOWS)
        first = Part(content, ResponseHead(200, {"etag": '"a"'}))
        await parallel.run(first, SPLITTING, rate=1e9, setup_s=3.0)
        assert await partial.seal() == bench.sha256
    assert origin.requests <= len(content) // SPLITTING.min_chunk + 1


@asynccontextmanager
async def under_way(bench, origin):
    job = await bench.claimed(origin.url(PATH))
    task = asyncio.create_task(JobRun(job, bench.resources).run())
    try:
        yield job, task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("hung", [1, 2, 3])
async def test_a_stop_keeps_a_plain_prefix(bench, hung):
    """Lanes hang with bytes in their chunks; the next run continues after the prefix on disk."""
    acts = [Whole(), *[Hang(9000)] * hung]
    async with Origin({PATH: bench.content}, acts, always=Hang(9000)) as origin:
        async with under_way(bench, origin) as (job, _):
            await origin.wait_for_requests(4)
            await until(lambda: bench.resources.board.latest(job).done >= SPLITTING.sample + 9000)
        [name] = bench.partials()
        prefix = (bench.root / "staging" / name / "image").read_bytes()
        assert bench.content.startswith(prefix)
        assert len(prefix) >= SPLITTING.sample
    again = await bench.resources.jobs.move(job, job.stopped(now=1))
    again = await bench.resources.jobs.move(again, again.start(1, now=1))
    async with Origin({PATH: bench.content}) as origin:
        moved = replace(again, url=origin.url(PATH))
        await JobRun(moved, bench.resources).run()
        assert next(spans(origin.requests)) is None or origin.requests[0].range != "bytes=0-"
    assert (await bench.resources.jobs.get(JobKey(job.key))).state is JobState.FINISHED
    assert bench.installed() == bench.content


async def test_progress_never_decreases_and_ends_at_the_whole_size(bench, monkeypatch):
    posted: list[Progress] = []
    post = bench.resources.board.post
    monkeypatch.setattr(
        bench.resources.board,
        "post",
        lambda key, progress: (posted.append(progress), post(key, progress)),
    )
    await bench.fetch()
    done = [progress.done for progress in posted]
    assert done == sorted(done)
    assert done[-1] == len(bench.content)


async def test_a_few_bytes_at_a_time_end_at_the_budget(bench):
    """An origin that breaks off after a few bytes each time is not requested for ever."""
    job, requests = await bench.fetch(Whole(), always=CutAfter(5))
    assert job.state is JobState.FAILED
    assert job.error.startswith("cut_off"), job.error
    assert len(requests) < 100


async def test_responses_that_are_slow_to_begin_lose_no_connection(bench):
    # Slower than the assumed set-up time of a connection, half a second.
    acts = [SlowHeaders(0.8 if number % 2 == 0 else 0.0) for number in range(60)]
    job, _ = await bench.fetch(*acts, send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert "connections 4" in (await bench.resources.jobs.history(job.key))[-2].evidence
