"""One object over several connections, whatever the origin does to some of them."""

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
# However fast it is: with so little to fetch nothing would be split otherwise.
SPLITTING = Splitting(
    connections=4,
    sample=4 * KIB,
    worthwhile_s=0,
    fast=1e12,
    least=16 * KIB,
    most=24 * KIB,
    memory=96 * KIB,
)


@pytest.fixture
def bench(bench):
    bench.local_attempts.use(SPLITTING)
    return bench


def spans(requests):
    """The first and the last byte of each request's Range, None where there is none."""
    for one in requests:
        found = re.fullmatch("bytes=([0-9]+)-([0-9]*)", one.range or "")
        yield found and (int(found[1]), int(found[2]) if found[2] else None)


async def test_every_byte_comes_once(bench):
    job, requests = await bench.fetch(send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert bench.installed() == bench.content
    whole, *parts = spans(requests)
    assert whole is None
    edges = sorted(parts)
    assert len(edges) >= 4
    assert edges[-1][1] == len(bench.content) - 1
    # One begins where the one before ended, and the first where the first answer was cut.
    assert [first for first, _ in edges[1:]] == [last + 1 for _, last in edges[:-1]]
    first_chunk = edges[0][0]
    assert 2 * SPLITTING.sample < first_chunk <= 2 * (SPLITTING.sample + SPLITTING.most)
    assert all(one.if_range for one in requests[1:])
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
    """All but those that are named by number do well, the first of all among them."""
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


async def test_a_long_way_to_the_origin_makes_no_crumbs(bench):
    """What comes until the others are there is more than there is: each byte was a request once."""
    job, requests = await bench.fetch(SlowHeaders(0.2))
    assert job.state is JobState.FINISHED
    assert len(requests) <= 2 + len(bench.content) // SPLITTING.least


async def test_where_only_one_connection_is_let_in(bench):
    """It goes on alone, and none of its bytes is fetched twice."""
    async with asyncio.timeout(20):
        job, requests = await bench.fetch(Whole(), *[Status(503)] * 3, send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert job.spent == 0, "that others were refused is no failed attempt"
    asked = [span for one, span in zip(requests, spans(requests), strict=True) if one.status == 206]
    assert asked[-1][1] is None, "the rest in one piece"


async def test_connections_that_always_break_end_at_the_budget(bench):
    job, _ = await bench.fetch(Whole(), always=CutAfter(0))
    assert job.state is JobState.FAILED
    assert job.error.startswith("cut_off: ")


@pytest.mark.parametrize("keep_etag", [False, True])
async def test_an_object_that_is_swapped_is_never_glued(bench, keep_etag):
    other = bytes(len(bench.content))
    job, _ = await bench.fetch(Whole(), Whole(), Swap(other, keep_etag=keep_etag))
    assert job.state is JobState.FAILED
    assert job.error.startswith("digest: ")


async def test_a_flipped_byte_costs_one_clean_retry(bench):
    job, _ = await bench.fetch(Whole(), Flip(100_000), Flip(100_000), Flip(100_000))
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content


async def test_an_origin_without_a_strong_validator_is_asked_once(bench):
    job, requests = await bench.fetch(validators=False)
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


async def test_one_connection_if_the_operator_says_so(bench):
    bench.local_attempts.use(replace(SPLITTING, connections=1))
    job, requests = await bench.fetch()
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


async def test_a_fast_line_needs_one(bench):
    bench.local_attempts.use(replace(SPLITTING, fast=1.0))
    job, requests = await bench.fetch()
    assert (job.state, len(requests)) == (JobState.FINISHED, 1)


class Ranges:
    """Sends each part that is asked for, whole."""

    def __init__(self, content):
        self.content, self.asked, self.evidence = content, 0, {}

    @asynccontextmanager
    async def open(self, url, request):
        self.asked += 1
        part = self.content[request.offset : request.stop or None]
        span = f"bytes {request.offset}-{request.offset + len(part) - 1}/{len(self.content)}"
        yield Part(part, ResponseHead(206, {"etag": '"a"', "content-range": span}))


class Part:
    def __init__(self, rest, head):
        self.rest, self.head = rest, head

    async def read_into(self, room):
        block, self.rest = self.rest[: len(room)], self.rest[len(room) :]
        room[: len(block)] = block
        return len(block)

    def close(self):
        self.rest = b""


async def test_a_line_that_is_slow_to_begin_and_fast_then_is_not_asked_for_each_byte(bench):
    """What comes over the first one before the others begin would be more than there is."""
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
    assert origin.asked <= len(content) // SPLITTING.least + 1


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
    """Lanes hang with bytes in their chunks; what is kept is where the next run goes on."""
    acts = [Whole(), *[Hang(9000)] * hung]
    async with Origin({PATH: bench.content}, acts, always=Hang(9000)) as origin:
        async with under_way(bench, origin) as (job, _):
            await origin.wait_for_requests(4)
            await until(lambda: bench.resources.board.of(job).done >= SPLITTING.sample + 9000)
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


async def test_progress_never_goes_back_and_ends_at_the_whole(bench, monkeypatch):
    seen: list[Progress] = []
    post = bench.resources.board.post
    monkeypatch.setattr(
        bench.resources.board, "post", lambda key, one: (seen.append(one), post(key, one))
    )
    await bench.fetch()
    done = [one.done for one in seen]
    assert done == sorted(done)
    assert done[-1] == len(bench.content)


async def test_crumbs_are_paid_for(bench):
    """An origin that cuts after a few bytes each time is not asked for ever."""
    job, requests = await bench.fetch(Whole(), always=CutAfter(5))
    assert job.state is JobState.FAILED
    assert job.error.startswith("cut_off"), job.error
    assert len(requests) < 100


async def test_answers_that_are_slow_to_begin_lose_no_connection(bench):
    # Slower than what a connection that is set up is taken to need: half a second.
    acts = [SlowHeaders(0.8 if number % 2 == 0 else 0.0) for number in range(60)]
    job, _ = await bench.fetch(*acts, send_buffer=4 * KIB)
    assert job.state is JobState.FINISHED
    assert "connections 4" in (await bench.resources.jobs.history(job.key))[-2].evidence
