"""Types and details of request errors, which clients rely on."""

import pytest

from spsd import errors

REQUEST_ERRORS = errors.RequestError.__subclasses__()
DOCUMENTED = {"IncompleteRequestBodyError", "InvalidRequestBodyError"}
WITH_ERROR = {*DOCUMENTED, "InternalError"}
"""Types that end in Error; every other type is the name of its class without that ending."""


@pytest.mark.parametrize("kind", REQUEST_ERRORS)
def test_the_type_follows_from_the_class_name(kind):
    name = kind.__name__
    assert kind.type == (name if name in WITH_ERROR else name.removesuffix("Error"))


def test_the_documented_types():
    types = {kind.type for kind in REQUEST_ERRORS}
    assert types >= {"Unauthenticated", "Unauthorized", "ResourceNotFound", "FirmwareTestFailed"}
    assert types >= DOCUMENTED


@pytest.mark.parametrize("kind", REQUEST_ERRORS)
def test_a_request_error_has_a_message_and_details(kind):
    facts = {"a": 1, "b": "x"} if "retry_after" not in kind.__init__.__annotations__ else {}
    error = kind("What happened.", **(facts or {"retry_after": 7}))
    assert str(error) == "What happened."
    assert error.details == (facts or {"retry_after": 7})


def test_too_many_attempts_states_when_to_try_again():
    assert errors.TooManyAttemptsError("Wait.", retry_after=7).retry_after == 7
