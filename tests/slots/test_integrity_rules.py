"""The rules of the integrity status, and its values on the wire."""

import pytest

from spsd.slots.integrity import IntegrityReport, IntegrityStatus, judge
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage

IMAGE = InstalledImage("ab" * 32, 7, ImageInfo("1"), "job", 0)


def test_the_values_on_the_wire():
    assert [status.value for status in IntegrityStatus] == ["OK", "CORRUPTED", "UNKNOWN"]


@pytest.mark.parametrize(
    ("content", "intact", "status"),
    [
        (IMAGE, True, IntegrityStatus.OK),
        (IMAGE, False, IntegrityStatus.CORRUPTED),
        (BrokenSlot("?"), False, IntegrityStatus.CORRUPTED),
        (None, False, IntegrityStatus.UNKNOWN),
        (None, True, IntegrityStatus.UNKNOWN),
    ],
)
def test_the_status_of_each_content(content, intact, status):
    assert judge(content, intact=intact) is status


def test_only_a_corrupted_image_is_a_changed_file():
    changed = {status: IntegrityReport(status, 5).changed_files for status in IntegrityStatus}
    assert changed == {
        IntegrityStatus.OK: 0,
        IntegrityStatus.CORRUPTED: 1,
        IntegrityStatus.UNKNOWN: 0,
    }
