"""One run against every behaviour of an origin, over a real disk and a real database."""

import hashlib
from dataclasses import replace

import pytest

from spsd.jobs.lifecycle import JobState, Trigger
from spsd.jobs.run import JobRun
from spsd.jobs.start_spread import StartSpread
from spsd.testing.origin import (
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
    Status,
    Swap,
    TooLong,
    TooLongChunked,
    TooShort,
    WeakValidator,
    Whole,
    WrongOffset,
    WrongTotal,
)
from tests.bench import BUDGET, PATH

CUT = CutAfter(200_000)


def assert_finished(bench, job):
    assert job.state is JobState.FINISHED, job.error
    assert (job.slot, job.progress.done) == (1, len(bench.content))
    assert bench.installed() == bench.content
    assert bench.partials() == []


def assert_failed(job, code):
    assert job.state is JobState.FAILED
    assert job.error.startswith(f"{code}: ")
    assert job.slot is None


@pytest.mark.parametrize(
    ("acts", "count"),
    [
        ([Whole()], 1),
        ([Chunked()], 1),
        ([NoLength()], 1),
        ([Redirect("/image.iso")], 2),
        ([Refuse(), Refuse()], 3),
        ([Status(503, retry_after=0)], 2),
        ([Status(429), Status(500)], 3),
        ([CUT], 2),
        ([CutAfter(200_000, reset=True)], 2),
        ([CutAfter(0)], 2),
        ([CUT, IgnoreRange()], 3),
        ([CUT, IgnoreIfRange()], 2),
        ([CUT, NeverSatisfyIfRange()], 3),
        ([CUT, WrongOffset(5)], 3),
        ([CUT, NoContentRange()], 3),
        ([CUT, WrongTotal(7)], 3),
        ([CUT, Multipart()], 3),
        ([CUT, NoValidator()], 3),
        ([CUT, Chunked()], 2),
        ([Hang(200_000)], 2),
        ([CUT, Status(500), CutAfter(50_000), Refuse()], 5),
    ],
    ids=repr,
)
async def test_a_job_finishes_despite_these_acts_of_an_origin(bench, acts, count):
    job, requests = await bench.fetch(*acts)
    assert_finished(bench, job)
    assert len(requests) == count


async def test_an_interrupted_response_is_resumed_with_if_range(bench):
    job, (first, second) = await bench.fetch(CUT)
    assert_finished(bench, job)
    assert (first.range, first.if_range) == (None, None)
    assert second.range == "bytes=200000-"
    assert second.if_range is not None
    assert second.status == 206
    assert second.sent == len(bench.content) - 200_000


@pytest.mark.parametrize(
    ("always", "code"),
    [
        (Html("<form>log in</form>"), "portal"),
        (Gzip(), "coded"),
        (Status(404), "origin_status"),
        (Redirect("ftp://x/"), "redirect"),
        (Flip(5_000), "digest"),
        (TooShort(100), "digest"),
        (TooLong(100), "digest"),
        (TooLongChunked(100), "digest"),
    ],
    ids=repr,
)
async def test_a_permanent_error_fails_at_the_first_request(bench, always, code):
    job, requests = await bench.fetch(always=always)
    assert_failed(job, code)
    assert len(requests) == 1


async def test_a_coded_response_after_a_cut_keeps_the_bytes(bench):
    job, requests = await bench.fetch(CUT, Gzip())
    assert_failed(job, "coded")
    assert len(requests) == 2
    assert bench.partials() == [bench.sha256]


@pytest.mark.parametrize(
    ("always", "code"),
    [
        (Status(503, retry_after=0), "origin_status"),
        (CutAfter(0), "cut_off"),
        (CutAfter(2), "cut_off"),
        (CutAfter(2, reset=True), "cut_off"),
        (Hang(0), "stall"),
        (Drip(1, 0.02), "stall"),
    ],
    ids=repr,
)
async def test_attempts_without_new_bytes_exhaust_the_budget(bench, always, code):
    job, requests = await bench.fetch(always=always)
    assert_failed(job, code)
    assert len(requests) == 3
    assert "attempt 3 in a row without getting ahead" in job.error


async def test_a_slow_origin_above_the_minimum_rate_is_not_interrupted(bench):
    """50 kB/s for two seconds: seven stall windows of the bench, which has scaled a minute down
    to 0.3 s; the drip above is scaled alike, from a byte each 0.2 s."""
    bench.content = bench.content[:60_000] + bytes(40_000)
    job, requests = await bench.fetch(
        always=Drip(1000, 0.02), sha256=hashlib.sha256(bench.content).hexdigest()
    )
    assert job.progress.done == len(bench.content), job.error
    assert len(requests) == 1


async def test_reset_connections_exhaust_the_budget(bench):
    job, requests = await bench.fetch(always=Refuse())
    # Whether the reset is seen while connecting or after it is the kernel's choice.
    assert_failed(job, job.error.partition(":")[0])
    assert job.error.partition(":")[0] in {"refused", "cut_off"}
    # aiohttp repeats a request by itself if the connection is reset after it was made.
    assert 3 <= len(requests) <= 6


async def test_a_redirect_loop_ends(bench):
    job, requests = await bench.fetch(always=Redirect("/image.iso"))
    assert_failed(job, "redirect")
    assert len(requests) == 11


async def test_new_bytes_refund_the_budget_once(bench):
    job, requests = await bench.fetch(CUT, Status(500), Status(500), Status(500))
    assert_failed(job, "origin_status")
    assert len(requests) == 4


@pytest.mark.parametrize("etag", [None, " "])
async def test_any_number_of_outages_within_the_budget_is_survived(bench, etag):
    outage = [Refuse(), Status(503, retry_after=0)]
    assert len(outage) == BUDGET - 1
    pieces = 12
    job, requests = await bench.fetch(*[CutAfter(25_000), *outage] * pieces, etag=etag)
    # Without a validator each response repeats a quarter of the bytes on disk, up to a window.
    while job.state is JobState.FAILED and etag is not None:
        pytest.fail(job.error)
    assert_finished(bench, job)
    assert len(requests) >= pieces * BUDGET - len(outage)


async def test_an_outage_as_long_as_the_budget_ends_the_job(bench):
    # No reset among them, because aiohttp repeats some requests by itself after a reset.
    outage = [Status(500), Status(503, retry_after=0), Status(503, retry_after=0)]
    assert len(outage) == BUDGET
    job, requests = await bench.fetch(CUT, *outage)
    assert_failed(job, "origin_status")
    assert f"attempt {BUDGET} in a row without getting ahead" in job.error
    assert len(requests) == 1 + BUDGET


async def test_many_short_responses_finish_the_job(bench):
    job, requests = await bench.fetch(always=CutAfter(30_000))
    assert_finished(bench, job)
    assert len(requests) == 10


async def test_a_weak_validator_is_no_condition(bench):
    job, _ = await bench.fetch(WeakValidator(), always=Whole())
    assert_finished(bench, job)


@pytest.mark.parametrize("keep_etag", [True, False])
async def test_an_object_swapped_between_attempts_never_mixes(bench, keep_etag):
    other = bytes(byte ^ 0xFF for byte in bench.content[:1000]) + bench.content[1000:]
    expected = hashlib.sha256(bench.content).hexdigest()
    # The origin first shows another object of this size, then the right one.
    job, requests = await bench.fetch(Swap(other), Swap(bench.content), sha256=expected)
    assert_failed(job, "digest")  # all bytes are of one connection: no second request
    assert len(requests) == 1
    job, requests = await bench.fetch(CUT, Swap(other, keep_etag=keep_etag), sha256=expected)
    if keep_etag:
        # Both objects end with the same bytes, so the result is right.
        assert_finished(bench, job)
    else:
        assert_failed(job, "digest")


async def test_a_wrong_digest_after_a_resume_gets_one_clean_retry(bench):
    job, requests = await bench.fetch(CUT, Flip(10), Whole())
    assert_finished(bench, job)
    assert [request.range for request in requests] == [None, "bytes=200000-", None]


async def test_a_wrong_digest_after_a_resume_gets_only_one_clean_retry(bench):
    wrong = "0" * 64
    job, requests = await bench.fetch(CUT, sha256=wrong)
    assert_failed(job, "digest")
    assert [request.range for request in requests] == [None, "bytes=200000-", None]
    assert bench.sha256 in job.error
    assert bench.partials() == []


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8"])
async def test_an_image_with_the_content_type_of_a_page_is_accepted(bench, content_type):
    job, requests = await bench.fetch(CUT, IgnoreRange(), content_type=content_type)
    assert_finished(bench, job)
    assert len(requests) == 3  # the first 200 has the ETag that was asked for
    assert bench.installed() == bench.content


PAGE = b"\xef\xbb\xbf\n<!doctype html><title>log in</title>"


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/html", ""])
async def test_a_page_is_recognised_by_its_bytes(bench, content_type):
    bench.content = PAGE
    job, requests = await bench.fetch(sha256="0" * 64, content_type=content_type)
    assert_failed(job, "portal")
    assert f"content type {content_type or 'none'}" in job.error
    assert len(requests) == 1
    assert bench.partials() == []


@pytest.mark.parametrize("page", [Html("log in"), Html(PAGE.decode())])
async def test_a_page_does_not_cost_the_bytes_on_disk(bench, page):
    job, _ = await bench.fetch(CUT, always=page)
    assert_failed(job, "portal")
    assert "bytes on disk 200000" in job.error
    assert bench.partials() == [bench.sha256]
    job, requests = await bench.fetch()
    assert_finished(bench, job)
    assert requests[0].range == "bytes=150000-"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
async def test_a_permanent_status_after_a_cut_is_not_retried_and_keeps_the_bytes(bench, status):
    job, requests = await bench.fetch(CUT, always=Status(status))
    assert_failed(job, "origin_status")
    assert "bytes on disk 200000" in job.error
    assert [request.status for request in requests] == [200, status]
    assert bench.partials() == [bench.sha256]


async def test_without_a_slot_the_job_fails_before_any_request(bench):
    job, requests = await bench.fetch(slot=None)
    assert_failed(job, "no_slot")
    assert requests == []


async def test_an_installed_image_is_found_without_a_request(bench):
    assert_finished(bench, (await bench.fetch())[0])
    job, requests = await bench.fetch(slot=2)
    assert (job.state, job.cause, job.slot) == (JobState.FINISHED, Trigger.FOUND, 1)
    assert requests == []


async def test_a_damaged_image_in_a_slot_is_fetched_again(bench):
    assert_finished(bench, (await bench.fetch())[0])
    image = bench.root / "slots" / "1" / "image"
    image.chmod(0o600)
    image.write_bytes(b"\1" + bench.content[1:])
    job, requests = await bench.fetch(slot=2)
    assert (job.state, job.slot, len(requests)) == (JobState.FINISHED, 2, 1)
    assert bench.installed(2) == bench.content


async def test_verified_bytes_that_are_no_image_fail_and_leave_nothing(bench):
    bench.content = b"no image" * 1000
    job, _ = await bench.fetch(sha256=hashlib.sha256(bench.content).hexdigest())
    assert_failed(job, "not_an_image")
    assert bench.partials() == []


async def test_an_address_outside_the_policy_is_not_dialled(bench):
    job, _ = await bench.fetch(url="http://[::1]:9/x")
    assert_failed(job, "policy")
    assert "a loopback address" in job.error


async def test_a_failed_job_leaves_its_bytes_to_the_next(bench):
    job, _ = await bench.fetch(CUT, always=Status(404))
    assert_failed(job, "origin_status")
    assert bench.partials() == [bench.sha256]
    job, requests = await bench.fetch()
    assert_finished(bench, job)
    # Another port, another origin: its ETags say nothing, so a quarter is compared.
    assert (requests[0].range, requests[0].if_range) == ("bytes=150000-", None)


async def test_the_evidence_of_a_cut_has_no_text_of_the_library(bench):
    job, _ = await bench.fetch(CutAfter(1000))
    assert job.state is JobState.FINISHED
    steps = await bench.resources.jobs.history(job.key)
    [evidence] = [step.evidence for step in steps if step.cause is Trigger.FAIL]
    assert evidence.startswith(
        "cut_off: 127.0.0.1 closed the connection before the end (host 127.0.0.1)"
    )
    assert "<" not in evidence


async def test_the_time_since_the_submission_counts_for_the_start_spread(bench):
    # The job was submitted at 100 s, and the time is 200 s.
    waited = replace(bench.resources, spread=StartSpread("x", 100.0))
    async with Origin({PATH: bench.content}) as origin:
        job = await bench.claimed(origin.url(PATH))
        await JobRun(job, waited).run()
    assert (await bench.resources.jobs.get(job.key)).state is JobState.FINISHED
