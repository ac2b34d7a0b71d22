"""The names of refusals, which clients rely on."""

import pytest

from spsd import errors

REFUSALS = errors.RequestError.__subclasses__()
DOCUMENTED = {"IncompleteRequestBodyError", "InvalidRequestBodyError"}
WITH_ERROR = {*DOCUMENTED, "InternalError"}
"""Names on the wire that end in Error; all others are those of their classes without it."""


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_called_as_its_class_is(kind):
    name = kind.__name__
    assert kind.type == (name if name in WITH_ERROR else name.removesuffix("Error"))


def test_the_documented_names():
    types = {kind.type for kind in REFUSALS}
    assert types >= {"Unauthenticated", "Unauthorized", "ResourceNotFound", "FirmwareTestFailed"}
    assert types >= DOCUMENTED


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_a_sentence_with_facts(kind):
    facts = {"a": 1, "b": "x"} if "retry_after" not in kind.__init__.__annotations__ else {}
    error = kind("What happened.", **(facts or {"retry_after": 7}))
    assert str(error) == "What happened."
    assert error.details == (facts or {"retry_after": 7})


def test_who_tries_too_often_is_told_when():
    assert errors.TooManyAttemptsError("Wait.", retry_after=7).retry_after == 7
