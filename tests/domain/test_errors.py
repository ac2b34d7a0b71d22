"""The names of refusals, which clients rely on."""

import pytest

from spsd.domain import errors

# The web has refusals of its own.
REFUSALS = [k for k in errors.RequestError.__subclasses__() if k.__module__ == errors.__name__]
DOCUMENTED = {"IncompleteRequestBodyError", "InvalidRequestBodyError"}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_called_as_its_class_is(kind):
    name = kind.__name__
    assert kind.type == (name if name in DOCUMENTED else name.removesuffix("Error"))


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
