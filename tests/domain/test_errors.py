"""The names of refusals, which clients rely on."""

import pytest

from spsd.domain import errors

NAMES = {
    errors.IncompleteRequestBodyError: "IncompleteRequestBodyError",
    errors.InvalidRequestBodyError: "InvalidRequestBodyError",
    errors.UnauthenticatedError: "Unauthenticated",
    errors.UnauthorizedError: "Unauthorized",
    errors.TooManyAttemptsError: "TooManyAttempts",
    errors.ResourceNotFoundError: "ResourceNotFound",
    errors.SlotInUseError: "SlotInUse",
    errors.FetchNotCancellableError: "FetchNotCancellable",
    errors.FirmwareTestFailedError: "FirmwareTestFailed",
    errors.NoEmptySlotError: "NoEmptySlot",
    errors.InsufficientStorageError: "InsufficientStorage",
    errors.StorageBusyError: "StorageBusy",
    errors.StorageFailedError: "StorageFailed",
    errors.ChecksumMismatchError: "ChecksumMismatch",
    errors.NotAnImageError: "NotAnImage",
    errors.RequestTimeoutError: "RequestTimeout",
}


def test_every_refusal_has_its_name():
    of_all = errors.RequestError.__subclasses__()  # the web's own are others
    assert {k: k.type for k in of_all if k.__module__ == errors.__name__} == NAMES


@pytest.mark.parametrize("kind", NAMES)
def test_a_refusal_is_a_sentence_with_facts(kind):
    facts = {"retry_after": 7} if kind is errors.TooManyAttemptsError else {"a": 1, "b": "x"}
    error = kind("What happened.", **facts)
    assert str(error) == "What happened."
    assert error.details == facts


def test_who_tries_too_often_is_told_when():
    assert errors.TooManyAttemptsError("Wait.", retry_after=7).retry_after == 7
