"""Which source is requested next: single steps, and random runs of a job."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.failures import FailureCode, ImageError, JobError, OriginError
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.transfer.ports import NO_PROGRESS
from spsd.transfer.rules.retry import RetryPolicy, backoff_s
from spsd.transfer.rules.sources import FAILURES_BEFORE_DISCARD, Provenance, Sources

POLICY = RetryPolicy(budget=3, initial_s=1.0, limit_s=60.0, stall_floor=0)
SIZE = 8
URLS = tuple(f"http://{name}.example/a" for name in "abcd")


def failed(sources, now=100.0, *, gained=False, retry_after=None):
    return sources.failed(POLICY, gained=gained, retry_after=retry_after, spread=1.0, now=now)


def request(sources, now=100.0, *, has_bytes=False):
    turn = sources.next_turn(now=now, has_bytes=has_bytes)
    return turn, sources.selected(turn.index)


def test_the_url_is_first_and_then_each_mirror_without_a_wait():
    sources = Sources.at_start(URLS[:3], spent=1)
    for index in range(3):
        turn, sources = request(sources)
        assert (turn.index, turn.wait_s) == (index, 0)
        sources = failed(sources)
    turn, _ = request(sources)
    assert (turn.index, turn.wait_s) == (0, 1.0)
    assert sources.tried == 3


def test_retry_after_of_one_source_delays_no_other():
    _, sources = request(Sources.at_start(URLS[:2], spent=1))
    sources = failed(sources, retry_after=3000)
    for now in (100.0, 200.0, 300.0):
        turn, sources = request(sources, now)
        assert (turn.index, turn.wait_s) == (1, 0)
        sources = failed(sources, now)
    turn, _ = request(sources, 3100.0)
    assert (turn.index, turn.wait_s) == (0, 0)


def test_the_ready_source_with_the_fewest_failures_is_next():
    _, sources = request(Sources.at_start(URLS[:2], spent=1))
    _, sources = request(failed(sources))
    sources = failed(sources, gained=True)
    assert request(sources, 1000.0)[0].index == 1


def test_a_source_that_failed_permanently_is_not_requested_again():
    _, sources = request(Sources.at_start(URLS[:2], spent=1))
    sources = sources.failed_for_good()
    assert sources.is_any_left
    turn, sources = request(sources, 1e9)
    assert turn.index == 1
    assert not sources.failed_for_good().is_any_left


def test_a_mismatch_of_one_connection_excludes_the_source_of_its_bytes():
    sources = Sources.at_start(URLS[:2], spent=1).selected(0).selected(1)
    after = sources.mismatched([0], mixed=False)
    assert [source.excluded for source in after.all] == [True, False]
    assert not after.unmixed


def test_a_mixed_mismatch_excludes_no_source_once_and_prefers_an_uninvolved_one():
    sources = Sources.at_start(URLS[:3], spent=1).selected(1)
    after = sources.mismatched([0, 1], mixed=True)
    assert after.unmixed
    assert not any(source.excluded for source in after.all)
    turn, after = request(after)
    assert (turn.index, turn.discards) == (2, False)
    again = after.mismatched([2, 2], mixed=True)
    assert [source.excluded for source in again.all] == [False, False, True]


def test_unmixed_bytes_stay_with_their_source_until_it_failed_too_often():
    sources = Sources.at_start(URLS[:2], spent=1).mismatched([0, 1], mixed=True).selected(0)
    for failures in range(FAILURES_BEFORE_DISCARD):
        turn, sources = request(sources, 1000.0 * failures, has_bytes=True)
        assert (turn.index, turn.discards) == (0, False)
        sources = failed(sources, 1000.0 * failures)
    turn, _ = request(sources, 1e9, has_bytes=True)
    assert (turn.index, turn.discards) == (1, True)


def test_excluding_an_unmixed_source_discards_its_bytes():
    sources = Sources.at_start(URLS[:2], spent=1).mismatched([0, 1], mixed=True).selected(0)
    turn, _ = request(sources.failed_for_good(), has_bytes=True)
    assert (turn.index, turn.discards) == (1, True)


def test_a_mismatch_of_an_empty_object_excludes_its_source():
    after = Sources.at_start(URLS[:2], spent=1).selected(1).mismatched([], mixed=False)
    assert [source.excluded for source in after.all] == [False, True]


@given(st.integers(1, 9), st.lists(st.booleans(), max_size=20))
def test_a_single_source_waits_by_its_failed_attempts(spent, gains):
    """Without mirrors the wait depends on the attempts in a row without a new byte."""
    sources = Sources.at_start(URLS[:1], spent=spent)
    for gained in gains:
        spent = (0 if gained else spent) + 1
        before = backoff_s(POLICY, max(1, spent - 1), spread=1.0, retry_after=None)
        sources = failed(sources.selected(0), gained=gained)
        turn = sources.next_turn(now=100.0, has_bytes=True)
        assert (turn.index, turn.wait_s, turn.discards) == (0, before, False)


def test_a_piece_is_a_connection_that_received_bytes():
    provenance = Provenance(0)
    provenance.begin(0, 0)
    provenance.reached(0)
    assert provenance.pieces == []
    for done in (2, 3):
        provenance.reached(done)
    assert (provenance.pieces, provenance.mixed) == ([0], False)
    provenance.begin(1, 3)
    provenance.reached(3)
    assert provenance.pieces == [0]
    provenance.reached(5)
    assert (provenance.pieces, provenance.mixed) == ([0, 1], True)


def test_a_connection_that_starts_over_has_all_pieces():
    provenance = Provenance(5)
    assert (provenance.pieces, provenance.mixed) == ([None], True)
    provenance.begin(1, 5)
    for done in (0, 5):
        provenance.reached(done)
    assert (provenance.pieces, provenance.mixed) == ([1], False)
    provenance.begin(0, 0)
    assert provenance.pieces == []


@pytest.mark.parametrize(("mirrors", "state"), [(2, JobState.QUEUED), (0, JobState.FAILED)])
def test_a_crash_leaves_an_attempt_for_each_source(mirrors, state):
    job = Job.submitted(JobKey("k"), URLS[0], "0" * 64, mirrors=URLS[1 : mirrors + 1], now=0)
    assert job.start(1, now=0).interrupted(budget=1, now=0).state is state


# What a source does on a request for an object of SIZE bytes: the number of bytes that it sends
# before it breaks off (all of them: the download is complete), or None for a permanent failure; and
# whether it continues after the prefix or starts over.
ACTS = st.tuples(st.integers(0, SIZE) | st.none(), st.booleans())


@dataclass
class Run:
    """One job over sources that behave as drawn, with the job row and the rules of the daemon."""

    draw: st.DataObject
    job: Job
    right: frozenset[int]
    length: int = 0
    longest: int = 0
    mismatches: int = 0
    gains: int = 0
    now: float = 0.0
    selected: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.sources = Sources.at_start(self.job.sources, spent=self.job.spent)
        self.provenance = Provenance(0)

    def to_the_end(self):
        while self.job.state is JobState.DOWNLOADING:
            turn = self.sources.next_turn(now=self.now, has_bytes=self.length > 0)
            untouched = [s for s in self.sources.all if not s.tried and not s.excluded]
            bound = self.sources.unmixed and self.length > 0
            assert not self.sources.all[turn.index].excluded
            assert turn.wait_s == 0 or not untouched or bound
            assert math.isfinite(turn.wait_s)
            self.now += turn.wait_s
            if turn.discards:
                self.length = 0
            self.sources = self.sources.selected(turn.index)
            self.provenance.begin(turn.index, self.length)
            self.selected.append(turn.index)
            self.attempt(turn.index, *self.draw.draw(ACTS))

    def attempt(self, index, sends, continues):
        if sends is None:
            return self.fail(OriginError(FailureCode.PORTAL, "no", transient=False))
        if self.length < SIZE:
            self.length = self.length if continues else 0
            self.provenance.reached(self.length)
            for _ in range(min(sends, SIZE - self.length)):
                self.length += 1
                self.provenance.reached(self.length)
        if self.sources.unmixed:
            assert set(self.provenance.pieces) <= {index}
        if self.length < SIZE:
            return self.fail(OriginError(FailureCode.CUT_OFF, "cut"))
        if self.right.issuperset(self.provenance.pieces):
            self.job = self.job.verified(SIZE, "evidence", now=0)
            return None
        return self.mismatch()

    def fail(self, error: JobError):
        gained = self.length > self.longest
        self.gains += gained
        self.longest = max(self.longest, self.length)
        left = self.sources if error.transient else self.sources.failed_for_good()
        self.move(error.restated({}, transient=left.is_any_left), gained)
        self.sources = failed(self.sources, self.now, gained=gained) if error.transient else left

    def mismatch(self):
        self.mismatches += 1
        pieces = self.provenance.pieces
        left = self.sources.mismatched(pieces, mixed=self.provenance.mixed)
        excluded = {
            i for i, s in enumerate(left.all) if s.excluded and not self.sources.all[i].excluded
        }
        assert len(excluded) <= 1
        assert not excluded & self.right, "a source is excluded for bytes of another one"
        self.move(ImageError(FailureCode.DIGEST, "no", transient=left.is_any_left), gained=True)
        self.sources = left
        self.length = self.longest = 0

    def move(self, error, gained):
        self.job = self.job.failed(error, NO_PROGRESS, gained=gained, budget=POLICY.budget, now=0)


@pytest.mark.parametrize("count", [1, 2, 4])
@given(data=st.data())
def test_every_run_ends_and_excludes_no_right_source_for_wrong_bytes(count, data):
    right = data.draw(st.frozensets(st.integers(0, count - 1)))
    job = Job.submitted(JobKey("k"), URLS[0], "0" * 64, mirrors=URLS[1:count], now=0)
    run = Run(data, job.start(1, now=0), right)
    run.to_the_end()
    assert run.mismatches <= count + 1
    # Between two refunds there are at most as many attempts as the budget has.
    refunds = run.mismatches + run.gains
    assert run.gains <= SIZE * (run.mismatches + 1)
    assert len(run.selected) <= (refunds + 1) * (max(POLICY.budget, count) + 1)
    if run.job.state is JobState.FAILED and run.job.spent <= 1 and run.sources.is_any_left:
        pytest.fail("failed with a usable source and a whole budget left")


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("last", [True, False])
def test_each_wrong_source_is_requested_once_until_the_right_one(count, last):
    """Each sends all bytes over one connection; one of them has the right ones."""
    right = count - 1 if last else 1

    class Whole:
        def draw(self, _):
            return SIZE, True

    job = Job.submitted(JobKey("k"), URLS[0], "0" * 64, mirrors=URLS[1:count], now=0)
    run = Run(Whole(), job.start(1, now=0), frozenset({right}))
    run.to_the_end()
    assert run.job.state is JobState.INSTALLING
    assert run.selected == list(range(right + 1))
