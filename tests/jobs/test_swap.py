"""An image is replaced on the origin during a download by one of the same size.

The two are never mixed, the job ends, and the bytes that it costs are bounded.
"""

import hashlib

import pytest

from spsd.jobs.lifecycle import JobState
from spsd.jobs.run import JobRun
from spsd.testing.origin import (
    CutAfter,
    Flip,
    Html,
    IgnoreIfRange,
    IgnoreRange,
    NeverSatisfyIfRange,
    Origin,
    Status,
    Swap,
    Whole,
    WrongTotal,
)
from testbed.iso import build_iso
from tests.bench import PATH

K = 1024
SIZE, CUT, WINDOW = 1000 * K, 600 * K, 64 * K
REST = SIZE - CUT
WHOLE, RANGE, PROBE = None, f"bytes={CUT}-", f"bytes=0-{WINDOW - 1}"
OVERLAP = f"bytes={CUT - WINDOW}-"
BODIES = {WHOLE: SIZE, RANGE: REST, PROBE: WINDOW, OVERLAP: REST + WINDOW}
"""The largest body of a response that has the requested range."""
STRONG, SAME, WEAK, NONE = None, '"same"', 'W/"same"', " "
"""The ETag: a strong one of each content, the same strong or weak one for both, none."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images of one size that differ from the volume descriptor on."""
    root = tmp_path_factory.mktemp("images")
    return [
        build_iso(root / str(byte), payload=bytes([byte]) * (SIZE - 100 * K), size=SIZE,
                  volume_id=f"V{byte}").read_bytes()
        for byte in (1, 2)
    ]  # fmt: skip


@pytest.fixture
def old(images):
    return images[0]


def changed(content, at):
    return content[:at] + bytes(b ^ 0xFF for b in content[at : at + K]) + content[at + K :]


async def fetch(bench, target, old, new, *acts, always=None, etag=None):
    """One download; the object is ``new`` after the first response, which is interrupted."""
    path = bench.root / "object"
    path.write_bytes(old)
    sha256 = hashlib.sha256(target).hexdigest()
    async with Origin(
        {PATH: path},
        [CutAfter(CUT), *acts],
        always=always,
        etag=etag,
        on_finished=lambda _: path.write_bytes(new),
    ) as origin:
        job = await bench.claimed(origin.url(PATH), sha256)
        await JobRun(job, bench.resources).run()
        return await bench.resources.jobs.get(job.key), origin.requests


async def evidence_of(bench, job):
    return "\n".join(step.evidence or "" for step in await bench.resources.jobs.history(job.key))


def sent(requests):
    return sum(request.sent for request in requests)


def assert_ended(bench, job, target, new):
    if target == new:
        assert job.state is JobState.FINISHED, job.error
        assert bench.installed() == new
    else:
        assert job.state is JobState.FAILED
        assert job.error.startswith("digest: ")
    assert bench.partials() == []


@pytest.mark.parametrize("target_is_new", [True, False], ids=["target-new", "target-old"])
@pytest.mark.parametrize(
    ("etag", "always", "expected", "most"),
    [
        # If-Range detects the change: no more bytes than those of both contents.
        (STRONG, Whole(), [WHOLE, RANGE], CUT + SIZE),
        (STRONG, NeverSatisfyIfRange(), [WHOLE, RANGE], CUT + SIZE),
        (STRONG, IgnoreRange(), [WHOLE, RANGE], CUT + SIZE),
        # The ETag of the 206 detects it; its body is not read.
        (STRONG, IgnoreIfRange(), [WHOLE, RANGE, WHOLE], CUT + REST + SIZE),
        # A false strong ETag is believed once; the digest detects the change.
        (SAME, Whole(), [WHOLE, RANGE, WHOLE], CUT + REST + SIZE),
        (SAME, IgnoreIfRange(), [WHOLE, RANGE, WHOLE], CUT + REST + SIZE),
        (SAME, NeverSatisfyIfRange(), [WHOLE, RANGE, RANGE, WHOLE], CUT + SIZE + REST + SIZE),
        (SAME, IgnoreRange(), [WHOLE, RANGE, RANGE], CUT + SIZE + SIZE),
        # No validator: the first 64 KiB detect it.
        (WEAK, Whole(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (WEAK, IgnoreIfRange(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (WEAK, NeverSatisfyIfRange(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (WEAK, IgnoreRange(), [WHOLE, PROBE], CUT + SIZE),
        (NONE, Whole(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (NONE, IgnoreIfRange(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (NONE, NeverSatisfyIfRange(), [WHOLE, PROBE, WHOLE], CUT + WINDOW + SIZE),
        (NONE, IgnoreRange(), [WHOLE, PROBE], CUT + SIZE),
    ],
    ids=repr,
)
async def test_another_image_is_detected(
    bench, images, etag, always, expected, most, target_is_new
):
    old, new = images
    target = new if target_is_new else old
    job, requests = await fetch(bench, target, old, new, always=always, etag=etag)
    assert_ended(bench, job, target, new)
    assert [request.range for request in requests] == expected
    assert sent(requests) <= most


@pytest.mark.parametrize("target_is_new", [True, False], ids=["target-new", "target-old"])
@pytest.mark.parametrize("etag", [WEAK, NONE])
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (40 * K, [WHOLE, PROBE, WHOLE]),
        (CUT - WINDOW, [WHOLE, PROBE, OVERLAP, WHOLE]),
        (CUT - K, [WHOLE, PROBE, OVERLAP, WHOLE]),
    ],
)
async def test_one_changed_block_before_the_cut(bench, old, etag, at, expected, target_is_new):
    new = changed(old, at)
    target = new if target_is_new else old
    # The volume's descriptors begin at 32 KiB: the changed object may be no image any more.
    job, requests = await fetch(bench, target, old, new, etag=etag)
    if not (target_is_new and at == 40 * K):
        assert_ended(bench, job, target, new)
    assert [request.range for request in requests] == expected
    assert sent(requests) <= sum(BODIES[request] for request in expected)
    assert (
        f"started over byte {at} on the origin differs from the one on disk"
        in await evidence_of(bench, job)
    )


@pytest.mark.parametrize("etag", [WEAK, NONE])
async def test_a_change_in_bytes_that_are_not_compared_is_detected_by_the_digest(bench, old, etag):
    new = changed(old, 300 * K)
    job, requests = await fetch(bench, new, old, new, etag=etag)
    assert_ended(bench, job, new, new)
    expected = [WHOLE, PROBE, OVERLAP, WHOLE]
    assert [request.range for request in requests] == expected
    assert sent(requests) == CUT + WINDOW + (REST + WINDOW) + SIZE


@pytest.mark.parametrize("etag", [SAME, WEAK, NONE])
async def test_the_old_image_is_installed_if_only_its_prefix_has_changed(bench, old, etag):
    job, requests = await fetch(bench, old, old, changed(old, 300 * K), etag=etag)
    assert_ended(bench, job, old, old)
    assert len(requests) == (2 if etag == SAME else 3)


@pytest.mark.parametrize("etag", [WEAK, NONE])
async def test_the_new_image_is_installed_if_only_its_rest_has_changed(bench, old, etag):
    new = changed(old, CUT)
    job, requests = await fetch(bench, new, old, new, etag=etag)
    assert_ended(bench, job, new, new)
    assert [request.range for request in requests] == [WHOLE, PROBE, OVERLAP]
    assert sent(requests) == SIZE + 2 * WINDOW


@pytest.mark.parametrize(
    ("etag", "expected", "extra"),
    [
        (STRONG, [WHOLE, RANGE], 0),
        (SAME, [WHOLE, RANGE], 0),
        (WEAK, [WHOLE, PROBE, OVERLAP], 2 * WINDOW),
        (NONE, [WHOLE, PROBE, OVERLAP], 2 * WINDOW),
    ],
)
async def test_without_a_swap_only_a_missing_validator_costs_bytes(
    bench, old, etag, expected, extra
):
    bench.root.joinpath("object").write_bytes(old)
    async with Origin({PATH: old}, [CutAfter(CUT)], etag=etag) as origin:
        job = await bench.claimed(origin.url(PATH), hashlib.sha256(old).hexdigest())
        await JobRun(job, bench.resources).run()
        job = await bench.resources.jobs.get(job.key)
    assert_ended(bench, job, old, old)
    assert [request.range for request in origin.requests] == expected
    assert origin.bytes_sent == SIZE + extra


async def test_a_mirror_is_compared_first_and_then_resumed_by_its_own_etag(bench, old):
    """The second job has another URL and is interrupted too: it resumes by the mirror's ETag."""
    sha256 = hashlib.sha256(old).hexdigest()
    async with (
        Origin({PATH: old}, [CutAfter(CUT)], always=Html("gone"), etag='"first"') as first,
        Origin({PATH: old}, [Whole(), CutAfter(WINDOW + 100 * K)], etag='"mirror"') as mirror,
    ):
        for origin in (first, mirror):
            job = await bench.claimed(origin.url(PATH), sha256)
            await JobRun(job, bench.resources).run()
            job = await bench.resources.jobs.get(job.key)
    assert_ended(bench, job, old, old)
    assert [(request.range, request.if_range) for request in mirror.requests] == [
        (PROBE, None),
        (OVERLAP, None),
        (f"bytes={CUT + 100 * K}-", '"mirror"'),
    ]
    assert mirror.bytes_sent == REST + 2 * WINDOW


async def test_a_mirror_with_another_image_of_that_size_costs_one_window(bench, images):
    old, other = images
    sha256 = hashlib.sha256(old).hexdigest()
    async with (
        Origin({PATH: old}, [CutAfter(CUT)], always=Html("gone"), etag='"same"') as first,
        Origin({PATH: other}, etag='"same"') as mirror,
    ):
        for origin in (first, mirror):
            job = await bench.claimed(origin.url(PATH), sha256)
            await JobRun(job, bench.resources).run()
            job = await bench.resources.jobs.get(job.key)
    assert job.error.startswith("digest: ")
    assert [request.range for request in mirror.requests] == [PROBE, WHOLE]
    assert "on the origin differs from the one on disk" in await evidence_of(bench, job)


@pytest.mark.parametrize("compared", [[PROBE], [PROBE, OVERLAP]], ids=repr)
async def test_the_etag_of_another_object_is_not_stored_with_these_bytes(bench, images, compared):
    """The comparison fails, then the origin has no object: its last ETag must not be used."""
    old = images[0]
    new = images[1] if compared == [PROBE] else changed(old, CUT - K)
    acts = [CutAfter(CUT), *[Swap(new)] * len(compared), Status(404)]
    async with Origin({PATH: old}, acts, etag=NONE) as origin:
        for state in (JobState.FAILED, JobState.FINISHED):
            job = await bench.claimed(origin.url(PATH), hashlib.sha256(new).hexdigest())
            await JobRun(job, bench.resources).run()
            job = await bench.resources.jobs.get(job.key)
            assert job.state is state
    assert_ended(bench, job, new, new)
    ranges = [WHOLE, *[*compared, WHOLE] * 2]
    assert [(request.range, request.if_range) for request in origin.requests] == [
        (r, None) for r in ranges
    ]


@pytest.mark.parametrize("act", [Flip(5), Flip(WINDOW - 1), WrongTotal(7), IgnoreRange()], ids=repr)
async def test_a_comparison_that_fails_or_cannot_be_made_starts_over(bench, old, act):
    async with Origin({PATH: old}, [CutAfter(CUT), act], etag=NONE) as origin:
        job = await bench.claimed(origin.url(PATH), hashlib.sha256(old).hexdigest())
        await JobRun(job, bench.resources).run()
        job = await bench.resources.jobs.get(job.key)
    assert_ended(bench, job, old, old)
    assert "started over " in await evidence_of(bench, job)
    # Only a 200 response to the probe is the object itself; all else is requested again.
    assert len(origin.requests) == (2 if act == IgnoreRange() else 3)
    assert origin.bytes_sent <= CUT + WINDOW + SIZE
