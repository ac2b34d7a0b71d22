"""The errors that spsd raises on purpose, by the party at fault.

:class:`SpsdError` is the root. Its branches: the configuration, the state directory, an account,
and the request of a client. The errors that make a *job* fail are in :mod:`spsd.failures`. A bug in
spsd raises a built-in exception: it fails the job or the request in which it happens.

The docstring of a :class:`RequestError` is published: it is the meaning of the error in the API's
description and in docs/errors.md.
"""

from typing import ClassVar


class SpsdError(Exception):
    """The root; ``str()`` is a sentence for a person."""


class ConfigurationError(SpsdError):
    """The settings cannot be used; the sentence names the file and the key."""


class StateError(SpsdError):
    """The state directory cannot be used: it is of a newer version, locked, or not readable."""


class AccountError(SpsdError):
    """An account cannot be added, changed or removed as requested."""


class RequestError(SpsdError):
    """A client's request is refused; it has changed nothing.

    ``type`` is the stable name on the wire; ``details`` are facts for programs, as JSON values.
    """

    type: ClassVar[str]

    def __init__(self, message: str, **details: str | int) -> None:
        super().__init__(message)
        self.details = details


class IncompleteRequestBodyError(RequestError):
    """A required member of the body is missing. [documented] for ``slot_id``."""

    type = "IncompleteRequestBodyError"


class InvalidRequestBodyError(RequestError):
    """The body cannot be read, or a member of it has a wrong type, value or name."""

    type = "InvalidRequestBodyError"


class InvalidQueryError(RequestError):
    """A query parameter has an invalid value; ``details["field"]`` is its name."""

    type = "InvalidQuery"


class UnauthenticatedError(RequestError):
    """The request has no valid session, or the credentials are wrong. [documented]."""

    type = "Unauthenticated"


class UnauthorizedError(RequestError):
    """The user is not allowed to do this, or another web site sent the request. [documented]."""

    type = "Unauthorized"


class TooManyAttemptsError(RequestError):
    """Log-in is blocked after failed attempts, for ``details["retry_after"]`` seconds."""

    type = "TooManyAttempts"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retry_after = retry_after


class TooManyReadersError(RequestError):
    """Too many requests wait for a change or have an event stream open.

    ``details["limit"]`` names the limit: of the ``session``, of the ``account``, of all
    ``viewers``, or of the ``appliance``; ``details["most"]`` is its number.
    """

    type = "TooManyReaders"


class ResourceNotFoundError(RequestError):
    """The path names no resource. The name is [documented] for an empty slot."""

    type = "ResourceNotFound"


class SlotInUseError(RequestError):
    """The slot runs now, is chosen for the next boot, or is reserved by a download or upload."""

    type = "SlotInUse"


class FetchNotCancellableError(RequestError):
    """The image is being installed; the download can no longer be cancelled."""

    type = "FetchNotCancellable"


class FirmwareTestFailedError(RequestError):
    """The image in the slot failed a check. The name is [documented].

    ``details["check"]`` is the name of the first check that failed; ``details["test_summary"]``
    has a line for each check.
    """

    type = "FirmwareTestFailed"


class NoEmptySlotError(RequestError):
    """Every slot holds an image or is reserved."""

    type = "NoEmptySlot"


class InsufficientStorageError(RequestError):
    """The file system of the state directory, or of its slots, has too little free space."""

    type = "InsufficientStorage"


class StorageFailedError(RequestError):
    """The state directory could not be read or written."""

    type = "StorageFailed"


class StorageBusyError(RequestError):
    """Another program has locked the database, or no descriptor is left to open a file.

    ``Retry-After`` is in seconds.
    """

    type = "StorageBusy"


class ChecksumMismatchError(RequestError):
    """The uploaded bytes do not have the digest that the request states."""

    type = "ChecksumMismatch"


class NotAnImageError(RequestError):
    """The uploaded bytes are not an image that the slots accept."""

    type = "NotAnImage"


class RequestTimeoutError(RequestError):
    """The client sent the request body too slowly."""

    type = "RequestTimeout"


class MethodNotAllowedError(RequestError):
    """The resource does not have this method; ``Allow`` and ``details["allow"]`` list all."""

    type = "MethodNotAllowed"


class RequestBodyTooLargeError(RequestError):
    """The JSON body is longer than 64 KiB."""

    type = "RequestBodyTooLarge"


class UnsupportedContentCodingError(RequestError):
    """The body has another ``Content-Encoding`` than those in ``Accept-Encoding``."""

    type = "UnsupportedContentCoding"


class MalformedRequestError(RequestError):
    """The request is not HTTP/1.1, or a field of its head is invalid. The connection is closed."""

    type = "MalformedRequest"


class UriTooLongError(RequestError):
    """The target of the request is longer than 8 KiB. The connection is closed."""

    type = "UriTooLong"


class RequestHeaderFieldsTooLargeError(RequestError):
    """The request has too many header fields, or too long ones. The connection is closed."""

    type = "RequestHeaderFieldsTooLarge"


class ExpectationFailedError(RequestError):
    """``Expect`` has another value than ``100-continue``."""

    type = "ExpectationFailed"


class InternalError(RequestError):
    """A bug in spsd; its log has the cause."""

    type = "InternalError"
