"""TODO."""

import pytest

from spsd.slots.integrity import Finding, Verdict, judge
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage

IMAGE = InstalledImage("ab" * 32, 7, ImageInfo("1"), "job", 0)


def test_the_words_of_the_wire():
    assert [verdict.value for verdict in Verdict] == ["OK", "CORRUPTED", "UNKNOWN"]


@pytest.mark.parametrize(
    ("content", "intact", "verdict"),
    [
        (IMAGE, True, Verdict.OK),
        (IMAGE, False, Verdict.CORRUPTED),
        (BrokenSlot("?"), False, Verdict.CORRUPTED),
        (None, False, Verdict.UNKNOWN),
        (None, True, Verdict.UNKNOWN),
    ],
)
def test_the_verdict_on_what_lies_in_the_current_slot(content, intact, verdict):
    assert judge(content, intact=intact) is verdict


def test_only_a_corrupted_image_is_a_changed_file():
    changed = {verdict: Finding(verdict, 5).changed_files for verdict in Verdict}
    assert changed == {Verdict.OK: 0, Verdict.CORRUPTED: 1, Verdict.UNKNOWN: 0}
