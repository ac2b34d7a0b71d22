"""Codes, evidence and sentences of the errors of jobs."""

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


def test_failures_that_remove_the_partial_file():
    removing = {
        code.value for code, explanation in EXPLANATIONS.items() if not explanation.keeps_partial
    }
    assert removing == {"too_long", "digest", "disk_full", "not_an_image", "gave_up"}


def test_an_error_without_evidence():
    error = JobError(FailureCode.CUT_OFF, "cut")
    assert (error.code, error.what, error.evidence) == (FailureCode.CUT_OFF, "cut", {})
    assert error.transient is False
    assert str(error) == "cut_off: cut"
    assert error.sentence() == f"cut_off: cut. {ADVICE}"


def test_an_error_restated_for_the_whole_job():
    error = JobError(FailureCode.CUT_OFF, "cut", {"bytes": 1, "of": 2})
    for transient in (True, False):
        whole = error.restated({"of": 3, "sources tried": 4}, transient=transient)
        assert (whole.code, whole.what, whole.transient) == (error.code, "cut", transient)
        assert whole.evidence == {"bytes": 1, "of": 3, "sources tried": 4}
        assert whole.sentence() == f"cut_off: cut (bytes 1, of 3, sources tried 4). {ADVICE}"
    assert error.evidence == {"bytes": 1, "of": 2}


def test_an_origin_error_is_transient_by_default():
    error = OriginError(FailureCode.CUT_OFF, "cut")
    assert (error.transient, error.retry_after, error.evidence) == (True, None, {})
    permanent = OriginError(
        FailureCode.ORIGIN_STATUS, "busy", {"a": 1}, transient=False, retry_after=7.5
    )
    assert (permanent.transient, permanent.retry_after, permanent.evidence) == (
        False,
        7.5,
        {"a": 1},
    )
    assert str(permanent) == "origin_status: busy"


def test_other_errors_are_not_transient_by_default():
    for kind in (ImageError, ApplianceError):
        assert kind(FailureCode.DISK, "no").transient is False
        assert kind(FailureCode.DISK, "no", transient=True).transient is True
