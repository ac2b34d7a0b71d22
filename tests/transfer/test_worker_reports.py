"""TODO."""

from hypothesis import given
from hypothesis import strategies as st

from spsd.transfer.ports import Progress
from spsd.transfer.rules.sources import Provenance
from spsd.transfer.worker import coalesce


def told(reports, batches):
    """What is told of ``reports`` if so many wait together, again and again."""
    waiting, said = (), []
    for report, is_last in zip(reports, batches, strict=True):
        waiting = coalesce(waiting, report)
        if is_last:
            said += waiting
            waiting = ()
    return said + list(waiting)


def at(*lengths):
    return [Progress(done, 9) for done in lengths]


def test_of_a_rise_its_ends_are_told():
    assert told(at(1, 2, 2, 5, 7), [False] * 5) == at(1, 7)
    assert told(at(2, 2, 5), [False] * 3) == at(2, 5)


def test_each_start_is_told():
    assert told(at(3, 5, 0, 2, 4, 0, 8, 9), [False] * 8) == at(3, 5, 0, 4, 0, 9)


def test_what_is_told_alone_is_told():
    assert told(at(1, 2, 3), [True] * 3) == at(1, 2, 3)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20),
    st.integers(0, 9),
)
def test_whose_bytes_a_partial_has_stays_known(reports, length):
    whole, short = (Provenance(length) for _ in range(2))
    progress = at(*(done for done, _ in reports))
    for provenance, heard in (
        (whole, progress),
        (short, told(progress, [is_last for _, is_last in reports])),
    ):
        provenance.begin(1, length)
        for one in heard:
            provenance.reached(one.done)
    assert short.pieces == whole.pieces
    assert (progress or [None])[-1] == (told(progress, [False] * len(progress)) or [None])[-1]
