"""Progress reports that are coalesced between the two event loops."""

from hypothesis import given
from hypothesis import strategies as st

from spsd.transfer.ports import Progress
from spsd.transfer.rules.sources import Provenance
from spsd.transfer.worker import coalesce


def delivered(reports, batches):
    """The delivered reports; ``batches`` marks the last report of each batch."""
    waiting, result = (), []
    for report, is_last in zip(reports, batches, strict=True):
        waiting = coalesce(waiting, report)
        if is_last:
            result += waiting
            waiting = ()
    return result + list(waiting)


def at(*lengths):
    return [Progress(done, 9) for done in lengths]


def test_both_ends_of_a_rise_are_reported():
    assert delivered(at(1, 2, 2, 5, 7), [False] * 5) == at(1, 7)
    assert delivered(at(2, 2, 5), [False] * 3) == at(2, 5)


def test_each_start_is_reported():
    assert delivered(at(3, 5, 0, 2, 4, 0, 8, 9), [False] * 8) == at(3, 5, 0, 4, 0, 9)


def test_a_report_that_waits_alone_is_reported():
    assert delivered(at(1, 2, 3), [True] * 3) == at(1, 2, 3)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20),
    st.integers(0, 9),
)
def test_coalesced_reports_give_the_same_provenance(reports, length):
    whole, short = (Provenance(length) for _ in range(2))
    progress = at(*(done for done, _ in reports))
    for provenance, received in (
        (whole, progress),
        (short, delivered(progress, [is_last for _, is_last in reports])),
    ):
        provenance.begin(1, length)
        for report in received:
            provenance.reached(report.done)
    assert short.pieces == whole.pieces
    assert (progress or [None])[-1] == (delivered(progress, [False] * len(progress)) or [None])[-1]
