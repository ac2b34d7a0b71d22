"""Each check of a slot, with its exact texts."""

import pytest

from spsd.errors import FirmwareTestFailedError
from spsd.failures import ApplianceError, FailureCode
from spsd.slots import checks as upgrade
from spsd.slots.checks import (
    Check,
    CheckResult,
    activation_check,
    broken_checks,
    choice_check,
    hook_check,
    image_check,
    passed,
    refusal,
    require_passed,
    skipped,
    space_check,
    volume_check,
)
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage
from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted

SHA256 = "ab" * 32
IMAGE = InstalledImage(SHA256, 7, ImageInfo("1.2\n x"), "job", 0)
FETCH = "delete the image from the slot and fetch it again"
DISK = "check the file system and the kernel's log"
ERROR = ApplianceError(FailureCode.DISK, "no\n disk")
HOOK = "/etc/spsd/hooks/quiet"
OK, FAILED, SKIPPED = CheckResult.OK, CheckResult.FAILED, CheckResult.SKIPPED


def test_the_values_of_a_result():
    assert [result.value for result in CheckResult] == ["ok", "failed", "skipped"]


@pytest.mark.parametrize(
    ("intact", "check"),
    [
        (True, Check("image", "Image check", OK, f"7 bytes, SHA-256 {SHA256}")),
        (
            False,
            Check(
                "image",
                "Image check",
                FAILED,
                f"its bytes do not have the SHA-256 {SHA256} any more",
                FETCH,
            ),
        ),
        (ERROR, Check("image", "Image check", FAILED, r"no\n disk", DISK)),
    ],
)
def test_the_image_check(intact, check):
    assert image_check(IMAGE, intact=intact) == check


@pytest.mark.parametrize(
    ("volume", "check"),
    [
        (ImageInfo("1.2\n x", "other notes"), Check("volume", "Volume check", OK, "version 1.2 x")),
        (
            ImageInfo("2\n0"),
            Check(
                "volume",
                "Volume check",
                FAILED,
                "it is version 2 0, the manifest says 1.2 x",
                FETCH,
            ),
        ),
        (ERROR, Check("volume", "Volume check", FAILED, r"no\n disk", FETCH)),
    ],
)
def test_the_volume_check(volume, check):
    assert volume_check(IMAGE, volume) == check


@pytest.mark.parametrize(
    ("free", "check"),
    [
        (5, Check("space", "Space check", OK, "5 bytes free")),
        (
            4,
            Check(
                "space",
                "Space check",
                FAILED,
                "4 bytes free, 5 needed",
                "free space, or empty a slot",
            ),
        ),
        (ERROR, Check("space", "Space check", FAILED, r"no\n disk", DISK)),
    ],
)
def test_the_space_check(free, check):
    assert space_check(free, needed=5) == check


def test_the_checks_of_a_broken_slot():
    assert broken_checks(BrokenSlot("no\n manifest")) == [
        Check("image", "Image check", FAILED, "no manifest", FETCH),
        Check("volume", "Volume check", SKIPPED, "there is no manifest to compare with"),
    ]


SEE = f"see its output in test_summary, and {HOOK}"


@pytest.mark.parametrize(
    ("outcome", "result", "detail", "advice", "output"),
    [
        (ProgramEnded(0, ""), OK, "", "", []),
        (ProgramEnded(0, " a\nb \n\n", left_out=3), OK, "", "",
            [" a", "b", "(3 more bytes left out)"]),
        (ProgramEnded(0, "a", timed_out=True), FAILED,
            "it was killed at its time limit, [upgrade] hook_timeout_s", SEE, ["a"]),
        (ProgramEnded(1, "a"), FAILED, "it ended with status 1", SEE, ["a"]),
        (ProgramEnded(-9, ""), FAILED, "it was ended by signal 9", SEE, []),
        (ProgramEnded(-1, "", left_out=1), FAILED, "it was ended by signal 1", SEE,
            ["(1 more bytes left out)"]),
        (ProgramNotStarted("gone"), FAILED, "cannot be run: gone",
            f"check {HOOK} and [upgrade] in spsd.toml", ()),
    ],
)  # fmt: skip
def test_the_checks_of_hooks(outcome, result, detail, advice, output):
    title = "Activation hook quiet"
    assert hook_check(HOOK, outcome) == Check(
        "hook quiet", "Hook quiet", result, detail, advice, output
    )
    assert activation_check(HOOK, outcome) == Check(
        "activation", title, result, detail, advice, output
    )


def test_an_ended_program_has_no_time_out_by_default():
    assert ProgramEnded(0, "") == ProgramEnded(0, "", timed_out=False, left_out=0)


def test_the_check_of_a_failed_choice():
    title = "Choice for the next boot"
    assert choice_check(ERROR) == Check("choice", title, FAILED, r"no\n disk", DISK)


def test_the_checks_of_skipped_hooks():
    assert skipped([HOOK, "bare"]) == [
        Check("hook quiet", "Hook quiet", SKIPPED),
        Check("hook bare", "Hook bare", SKIPPED),
    ]


GOOD = Check("a", "A", OK, "fine", output=["one", "two"])
NOT_RUN = Check("b", "B", SKIPPED)
BAD = Check("c", "Space Check", FAILED, "no room", "make some")
WORSE = Check("d", "D", FAILED, "none")


def test_checks_without_a_failure_pass():
    assert passed([])
    assert passed([GOOD, NOT_RUN])
    assert not passed([GOOD, BAD, NOT_RUN])
    assert require_passed(2, [GOOD, NOT_RUN]) == upgrade.PassedTest(
        2, "A: ok (fine)\n  one\n  two\nB: skipped"
    )


def test_a_refusal_has_the_first_failure():
    summary = "A: ok (fine)\n  one\n  two\nSpace Check: failed (no room)\nD: failed (none)"
    with pytest.raises(FirmwareTestFailedError) as caught:
        require_passed(2, [GOOD, BAD, WORSE])
    for error in (caught.value, refusal(2, [GOOD, BAD, WORSE])):
        assert str(error) == "The space Check of slot 2 failed: no room; make some."
        assert error.details == {"check": "c", "test_summary": summary}
