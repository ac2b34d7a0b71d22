"""An image that is swapped on the origin in mid-download, at the same size: never mixed, never
endless, and the bytes that it costs are bounded."""

import hashlib

import pytest

from spsd.domain.lifecycle import JobState
from spsd.testing.origin import (
    CutAfter,
    IgnoreIfRange,
    IgnoreRange,
    NeverSatisfyIfRange,
    NoValidator,
    Swap,
    WeakValidator,
    Whole,
)
from tests.iso import build_iso

K = 1024
SIZE = 800 * K
CUT = 600 * K
WINDOW = 64 * K
SLACK = 128 * K
"""What an origin may have sent of a reply that nobody reads to its end; the sockets hold it."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images of one size whose every part differs: the volume descriptor and the content."""
    root = tmp_path_factory.mktemp("images")
    return [
        build_iso(root / name, payload=bytes([byte]) * (SIZE - 60 * K), size=SIZE).read_bytes()
        for name, byte in [("old", 1), ("new", 2)]
    ]


@pytest.fixture
def old(images):
    return images[0]


@pytest.fixture
def new(images):
    return images[1]


def changed(content, at, size=1):
    return content[:at] + bytes(b ^ 0xFF for b in content[at : at + size]) + content[at + size :]


async def fetch(bench, wanted, *acts, always=None, first=None):
    """The object is ``first`` until an act swaps it; ``wanted`` is what the client asks for."""
    bench.content = first if first is not None else wanted
    return await bench.fetch(*acts, always=always, sha256=hashlib.sha256(wanted).hexdigest())


async def history(bench, job):
    return [step.evidence or "" for step in await bench.pipeline.jobs.history(job.key)]


def sent(asked):
    return sum(one.sent for one in asked)


def assert_installed(bench, job, content):
    assert job.state is JobState.FINISHED, job.error
    assert bench.installed() == content
    assert bench.partials() == []


def assert_digest_failure(bench, job):
    assert job.state is JobState.FAILED
    assert job.error.startswith("digest: ")
    assert bench.partials() == []


@pytest.mark.parametrize("wants_new", [True, False])
@pytest.mark.parametrize("keep_etag", [True, False])
@pytest.mark.parametrize(
    "after",
    [
        Whole(),
        IgnoreIfRange(),
        NeverSatisfyIfRange(),
        IgnoreRange(),
        NoValidator(),
        WeakValidator(),
    ],
    ids=lambda act: type(act).__name__,
)
async def test_a_swap_ends_with_the_right_bytes_or_a_wrong_digest(
    bench, old, new, after, keep_etag, wants_new
):
    """The object is swapped by the act that meets the first request after the cut; from then on
    the origin always behaves as ``after`` says."""
    wanted = new if wants_new else old
    acts = [CutAfter(CUT), Swap(new, keep_etag=keep_etag)]
    job, asked = await fetch(bench, wanted, *acts, always=after, first=old)
    if wants_new:
        assert_installed(bench, job, new)
    else:
        assert_digest_failure(bench, job)
    # The old prefix, what was glued to it or dropped, and one clean retry.
    assert sent(asked) <= CUT + 2 * SIZE + SLACK
    assert len(asked) <= 5
