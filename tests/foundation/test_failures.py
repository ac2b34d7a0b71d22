"""What an error of a job knows, and what it says."""

from spsd.failures import (
    EXPLANATIONS,
    ApplianceError,
    FailureCode,
    ImageError,
    JobError,
    OriginError,
)

ADVICE = EXPLANATIONS[FailureCode.CUT_OFF].advice


def test_each_code_is_its_name_in_lower_case():
    assert [code.value for code in FailureCode] == [code.name.lower() for code in FailureCode]
    assert list(EXPLANATIONS) == list(FailureCode)


def test_of_which_failures_the_bytes_go():
    gone = {code.value for code, told in EXPLANATIONS.items() if not told.keeps_partial}
    assert gone == {"too_long", "digest", "disk_full", "not_an_image", "gave_up"}


def test_an_error_without_evidence():
    error = JobError(FailureCode.CUT_OFF, "cut")
    assert (error.code, error.what, error.evidence) == (FailureCode.CUT_OFF, "cut", {})
    assert error.transient is False
    assert str(error) == "cut_off: cut"
    assert error.sentence() == f"cut_off: cut. {ADVICE}"


def test_an_error_as_the_whole_job_sees_it():
    error = JobError(FailureCode.CUT_OFF, "cut", {"bytes": 1, "of": 2})
    for transient in (True, False):
        whole = error.restated({"of": 3, "sources tried": 4}, transient=transient)
        assert (whole.code, whole.what, whole.transient) == (error.code, "cut", transient)
        assert whole.evidence == {"bytes": 1, "of": 3, "sources tried": 4}
        assert whole.sentence() == f"cut_off: cut (bytes 1, of 3, sources tried 4). {ADVICE}"
    assert error.evidence == {"bytes": 1, "of": 2}


def test_an_origin_may_do_better_unless_it_is_said():
    error = OriginError(FailureCode.CUT_OFF, "cut")
    assert (error.transient, error.retry_after, error.evidence) == (True, None, {})
    wants = OriginError(
        FailureCode.ORIGIN_STATUS, "busy", {"a": 1}, transient=False, retry_after=7.5
    )
    assert (wants.transient, wants.retry_after, wants.evidence) == (False, 7.5, {"a": 1})
    assert str(wants) == "origin_status: busy"


def test_others_do_not():
    for kind in (ImageError, ApplianceError):
        assert kind(FailureCode.DISK, "no").transient is False
        assert kind(FailureCode.DISK, "no", transient=True).transient is True
