"""Several sources for one image; each is an origin of its own, and may be hostile."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.run import JobRun
from spsd.testing.origin import (
    CutAfter,
    Flip,
    Hang,
    Html,
    IgnoreRange,
    NoValidator,
    Origin,
    Redirect,
    Refuse,
    Status,
    TooLong,
    TooLongChunked,
    TooShort,
    Whole,
)
from tests.bench import BUDGET, PATH, open_bench

CUT = CutAfter(200_000)
WRONG = Flip(10)
NEVER_S = 3600.0
_numbers = itertools.count(1)


def altered(content):
    """Another object of the same size; it differs where only the digest detects it."""
    return content[:100_000] + bytes([content[100_000] ^ 1]) + content[100_001:]


def without_backoff(bench):
    """Resources with which any backoff would take longer than the test."""
    return replace(bench.resources, retry=replace(bench.resources.retry, initial_s=NEVER_S))


async def add(bench, urls):
    key = JobKey(f"mirrored-{next(_numbers)}")
    job = Job.submitted(key, urls[0], bench.sha256, mirrors=tuple(urls[1:]), now=100)
    await bench.resources.jobs.add(job)
    return job


async def fetch(bench, *scripts, resources=None, slot=1):
    """Run one job over origins with these scripts; the last act of a script is repeated.

    Returns the row, and the requests and the port of each origin.
    """
    resources = resources or bench.resources
    async with AsyncExitStack() as stack:
        origins = [
            await stack.enter_async_context(
                Origin({PATH: bench.content}, script[:-1], always=script[-1])
            )
            for script in scripts
        ]
        job = await add(bench, [origin.url(PATH) for origin in origins])
        async with asyncio.timeout(10):
            await bench.work_on(job, resources, slot=slot)
        row = await resources.jobs.get(job.key)
        return row, [origin.requests for origin in origins], [origin.port for origin in origins]


def assert_finished(bench, job):
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == bench.content
    assert bench.partials() == []


@pytest.mark.parametrize(
    "failing",
    [
        Refuse(),
        Status(503),
        Status(503, retry_after=3000),
        CutAfter(0),
        Status(404),
        Html("log in"),
        Redirect("ftp://x/"),
    ],
    ids=repr,
)
async def test_after_a_failing_source_the_next_is_requested_at_once(bench, failing):
    job, (first, second), (_, port) = await fetch(
        bench, [failing], [Whole()], resources=without_backoff(bench)
    )
    assert_finished(bench, job)
    # aiohttp repeats a request by itself if the connection is reset after it was made.
    assert len(first) in ({1, 2} if failing == Refuse() else {1})
    assert len(second) == 1
    steps = await bench.resources.jobs.history(job.key)
    [evidence] = [step.evidence for step in steps if step.cause is Trigger.VERIFY]
    assert f"bytes from 127.0.0.1:{port}" in evidence
    [failure] = [step.evidence for step in steps if step.cause is Trigger.FAIL]
    assert "sources tried 1 of 2" in failure


async def test_an_address_that_is_not_allowed_costs_its_source_only(bench):
    async with Origin({PATH: bench.content}) as origin:
        job = await add(bench, ["http://[::1]:9/x", origin.url(PATH)])
        resources = without_backoff(bench)
        await bench.work_on(job, resources, slot=1)
    assert_finished(bench, await resources.jobs.get(job.key))


@pytest.mark.parametrize("broken", [CUT, Hang(200_000)], ids=repr)
async def test_a_mirror_continues_with_the_bytes_on_disk(bench, broken):
    job, (first, second), ports = await fetch(
        bench, [broken], [Whole()], resources=without_backoff(bench)
    )
    assert_finished(bench, job)
    assert [request.range for request in first] == [None]
    assert second[0].if_range is None
    assert second[0].status == 206
    [evidence] = [
        step.evidence
        for step in await bench.resources.jobs.history(job.key)
        if step.cause is Trigger.VERIFY
    ]
    assert f"bytes from 127.0.0.1:{ports[0]} and 127.0.0.1:{ports[1]}" in evidence


@pytest.mark.parametrize("wrong", [WRONG, TooShort(100), TooLong(100)], ids=repr)
async def test_a_source_with_a_wrong_object_is_excluded_after_one_mismatch(bench, wrong):
    job, (first, second), _ = await fetch(
        bench, [wrong], [Whole()], resources=without_backoff(bench)
    )
    assert_finished(bench, job)
    assert len(first) == 1
    assert [request.range for request in second] == [None]


async def test_a_wrong_object_after_a_failing_source_is_excluded_after_one_mismatch(bench):
    job, all_requests, _ = await fetch(
        bench, [Status(500)], [WRONG], [Whole()], resources=without_backoff(bench)
    )
    assert_finished(bench, job)
    assert [len(requests) for requests in all_requests] == [1, 1, 1]


async def test_a_source_without_bytes_is_not_excluded_for_a_wrong_object(bench):
    slow = replace(
        bench.resources, retry=replace(bench.resources.retry, initial_s=0.4, limit_s=0.4)
    )
    job, all_requests, _ = await fetch(bench, [Status(500), Whole()], [WRONG], resources=slow)
    assert_finished(bench, job)
    assert [len(requests) for requests in all_requests] == [2, 1]


async def test_a_source_that_starts_over_is_excluded_alone(bench):
    other = bytes(byte ^ 1 for byte in bench.content)
    async with (
        Origin({PATH: bench.content}, [CUT]) as first,
        Origin({PATH: other}, always=IgnoreRange()) as second,
    ):
        job = await add(bench, [first.url(PATH), second.url(PATH)])
        # So long that the second source is next, however slow this machine is.
        retry = replace(bench.resources.retry, initial_s=2.0, limit_s=2.0)
        await bench.work_on(job, slot=1, resources=replace(bench.resources, retry=retry))
        assert_finished(bench, await bench.resources.jobs.get(job.key))
        assert [request.range for request in first.requests] == [None, None]
        assert len(second.requests) == 1


async def test_after_a_clean_retry_no_source_continues_the_bytes_of_another(bench):
    other = altered(bench.content)
    async with (
        Origin({PATH: other}, [CUT]) as first,
        Origin({PATH: bench.content}) as second,
        Origin({PATH: other}, [CutAfter(120_000)], always=Status(404)) as third,
    ):
        job = await add(bench, [origin.url(PATH) for origin in (first, second, third)])
        await bench.work_on(job, slot=1)
        assert_finished(bench, await bench.resources.jobs.get(job.key))
        assert [request.range for request in third.requests] == [None, "bytes=120000-"]
        assert {request.range for request in first.requests} == {None}
        assert [request.range for request in second.requests] == ["bytes=150000-", None]


async def test_a_response_longer_than_its_range_is_truncated(bench):
    job, (first, second), _ = await fetch(bench, [CUT, Whole()], [TooLongChunked(100)])
    assert_finished(bench, job)
    assert [request.range for request in first] == [None]
    assert len(second) == 1


async def test_a_source_with_retry_after_waits_while_the_other_is_requested(bench):
    job, all_requests, _ = await fetch(bench, [Status(503, retry_after=3000)], [Status(500)])
    assert job.state is JobState.FAILED
    assert [len(requests) for requests in all_requests] == [1, BUDGET - 1]


async def test_a_wrong_object_in_one_response_gets_no_clean_retry(bench):
    job, (all_requests,), _ = await fetch(bench, [Status(500), WRONG, Whole()])
    assert job.state is JobState.FAILED
    assert job.error.startswith("digest: ")
    assert len(all_requests) == 2


async def test_after_a_clean_retry_bytes_refund_the_budget_again(bench):
    job, _, _ = await fetch(bench, [CUT, WRONG, CutAfter(30_000)])
    assert_finished(bench, job)


async def test_wrong_bytes_of_two_sources_are_fetched_from_the_third(bench):
    other = bytes(byte ^ 1 for byte in bench.content)
    async with (
        Origin({PATH: other}, [CUT]) as first,
        Origin({PATH: other}) as second,
        Origin({PATH: bench.content}, [CUT]) as third,
    ):
        job = await add(bench, [origin.url(PATH) for origin in (first, second, third)])
        await bench.work_on(job, slot=1)
        assert_finished(bench, await bench.resources.jobs.get(job.key))
        all_requests = [
            [request.range for request in origin.requests] for origin in (first, second, third)
        ]
    # The third is interrupted too; no other source continues its bytes.
    assert all_requests == [[None], ["bytes=150000-"], [None, "bytes=200000-"]]


@pytest.mark.parametrize("cut_is_wrong", [True, False])
async def test_of_two_mixed_sources_the_wrong_one_is_excluded(bench, cut_is_wrong):
    other = bytes([bench.content[0] ^ 1]) + bench.content[1:-1] + bytes([bench.content[-1] ^ 1])
    async with (
        Origin({PATH: other if cut_is_wrong else bench.content}, [CUT]) as first,
        Origin({PATH: bench.content if cut_is_wrong else other}) as second,
    ):
        job = await add(bench, [first.url(PATH), second.url(PATH)])
        await bench.work_on(job, slot=1)
        assert_finished(bench, await bench.resources.jobs.get(job.key))
        wrong = first if cut_is_wrong else second
        assert len(wrong.requests) <= 2


async def test_wrong_objects_at_all_sources_fail_with_digest(bench):
    job, all_requests, _ = await fetch(
        bench, [WRONG], [TooShort(5)], [WRONG], resources=without_backoff(bench)
    )
    assert job.state is JobState.FAILED
    assert job.error.startswith("digest: ")
    assert "sources tried 3 of 3" in job.error
    assert [len(requests) for requests in all_requests] == [1, 1, 1]
    assert bench.partials() == []


async def test_permanent_errors_at_all_sources_fail_with_the_last_error(bench):
    job, all_requests, (_, port) = await fetch(bench, [Html("log in")], [Status(404)])
    assert job.state is JobState.FAILED
    assert job.error.startswith("origin_status: the origin answered 404 ")
    assert f"source 127.0.0.1:{port}, sources tried 2 of 2" in job.error
    assert [len(requests) for requests in all_requests] == [1, 1]


async def test_all_sources_share_one_budget(bench):
    job, all_requests, _ = await fetch(bench, [Status(500)], [Refuse()])
    assert job.state is JobState.FAILED
    steps = await bench.resources.jobs.history(job.key)
    # Counted in the history, because aiohttp repeats some requests by itself after a reset.
    assert sum(step.cause is Trigger.FAIL for step in steps) == BUDGET
    assert all(all_requests)
    assert f"attempt {BUDGET} in a row without getting ahead" in job.error


async def test_each_source_is_requested_once_even_with_a_small_budget(bench):
    scripts = [[Status(500)]] * BUDGET + [[Whole()]]
    job, all_requests, _ = await fetch(bench, *scripts, resources=without_backoff(bench))
    assert_finished(bench, job)
    assert [len(requests) for requests in all_requests] == [1] * (BUDGET + 1)


async def test_an_object_too_large_for_the_disk_excludes_only_its_source(bench):
    job, all_requests, _ = await fetch(
        bench, [TooLong(10**15)], [Whole()], resources=without_backoff(bench)
    )
    assert_finished(bench, job)
    assert [len(requests) for requests in all_requests] == [1, 1]


async def test_two_sources_that_interrupt_each_response_finish_together(bench):
    job, (first, second), _ = await fetch(bench, [CutAfter(30_000)], [CutAfter(30_000)])
    assert_finished(bench, job)
    # A part of each connection's bytes is compared, and never so many that none are new.
    assert 10 <= len(first) + len(second) <= 60
    assert len(first) > 1 < len(second)


async def test_a_restart_keeps_the_mirrors_and_the_bytes(tmp_path, content):
    async with (
        Origin({PATH: content}, [Hang(100_000)], always=Status(404)) as first,
        Origin({PATH: content}, [Hang(0)]) as second,
    ):
        async with open_bench(tmp_path, content) as bench:
            resources = bench.resources
            job = await add(bench, [first.url(PATH), second.url(PATH)])
            claimed = await resources.jobs.move(job, job.start(1, now=101))
            task = asyncio.create_task(JobRun(claimed, resources).run())
            await second.wait_for_requests(1)
            task.cancel()
            await asyncio.wait([task])
            async with resources.staging.open(bench.sha256) as partial:
                length = partial.length
            row = await resources.jobs.get(job.key)
            await resources.jobs.move(row, row.interrupted(budget=BUDGET, now=102))
        async with open_bench(tmp_path, content) as bench:
            queued = await bench.resources.jobs.next_queued(without=[])
            assert queued.mirrors == (second.url(PATH),)
            claimed = await bench.resources.jobs.move(queued, queued.start(1, now=103))
            await JobRun(claimed, bench.resources).run()
            assert_finished(bench, await bench.resources.jobs.get(job.key))
        gone, served = first.requests[-1], second.requests[-1]
        assert (gone.status, served.status) == (404, 206)
        assert gone.range == f"bytes={length}-"
        assert served.range == f"bytes={length - length // 4}-"


ACTS = st.sampled_from(
    [
        Whole(),
        CUT,
        CutAfter(0),
        CutAfter(100_000),
        WRONG,
        Flip(90_000),
        IgnoreRange(),
        NoValidator(),
        Refuse(),
        Status(404),
        Status(500),
        Html("log in"),
        TooLong(10),
        TooShort(10),
    ]
)
SCRIPTS = st.lists(st.lists(ACTS, min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(scripts=SCRIPTS)
async def test_some_scripts_end_with_the_right_bytes_or_a_failure(
    tmp_path_factory, content, scripts
):
    await check_end(tmp_path_factory, content, scripts)


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(scripts=SCRIPTS)
async def test_many_scripts_end_with_the_right_bytes_or_a_failure(
    tmp_path_factory, content, scripts
):
    await check_end(tmp_path_factory, content, scripts)


async def check_end(tmp_path_factory, content, scripts):
    async with open_bench(tmp_path_factory.mktemp("bench"), content) as bench:
        job, all_requests, _ = await fetch(bench, *scripts)
        if job.state is JobState.FINISHED:
            assert_finished(bench, job)
        else:
            assert job.state is JobState.FAILED
            assert not (bench.root / "slots" / "1").exists()
        for script, requests in zip(scripts, all_requests, strict=True):
            if script[0] in (Status(404), Html("log in")):
                assert len(requests) <= 1
