"""What can go wrong, by culprit.

One root, and a branch for each party that may be at fault: who configured the daemon, who sent
the request, the state of a resource. What makes a *job* fail has a closed list of its own in
:mod:`spsd.failures`. Misuse by our own code raises built-in exceptions and is not caught.
"""

from typing import ClassVar


class SpsdError(Exception):
    """Root of everything spsd raises on purpose; ``str()`` is a sentence for a person."""


class ConfigurationError(SpsdError):
    """The daemon cannot start as it was told to; the sentence names the file and the key."""


class StateError(SpsdError):
    """What lies in the state directory cannot be used: newer, locked, or not ours to read."""


class AccountError(SpsdError):
    """An account cannot be added, changed or removed as asked."""


class RequestError(SpsdError):
    """A client's request is refused; nothing has changed.

    ``type`` is the stable name on the wire, ``details`` are facts for programs.
    """

    type: ClassVar[str]

    def __init__(self, message: str, **details: str | int) -> None:
        super().__init__(message)
        self.details = details


class IncompleteRequestBodyError(RequestError):
    """A required member of the body is missing. [documented] for ``slot_id``."""

    type = "IncompleteRequestBodyError"


class InvalidRequestBodyError(RequestError):
    """The body is no JSON object, or a member has a wrong type, value or name."""

    type = "InvalidRequestBodyError"


class InvalidQueryError(RequestError):
    """A parameter of the query has a value that cannot be used; ``details["field"]`` names it."""

    type = "InvalidQuery"


class UnauthenticatedError(RequestError):
    """No valid session, or wrong credentials at log-in. [documented]."""

    type = "Unauthenticated"


class UnauthorizedError(RequestError):
    """Logged in, but not allowed to do this. [documented]."""

    type = "Unauthorized"


class TooManyAttemptsError(RequestError):
    """Failed log-ins are slowed down; ``details["retry_after"]`` is in seconds."""

    type = "TooManyAttempts"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retry_after = retry_after


class TooManyReadersError(RequestError):
    """As many clients as may wait for changes or read along do so already."""

    type = "TooManyReaders"


class ResourceNotFoundError(RequestError):
    """There is nothing at this path. The name is [documented] for an empty slot."""

    type = "ResourceNotFound"


class SlotInUseError(RequestError):
    """The slot is running, chosen for a boot, or reserved by a download or an upload."""

    type = "SlotInUse"


class FetchNotCancellableError(RequestError):
    """The image is being installed; from here on a job can only finish or fail."""

    type = "FetchNotCancellable"


class FirmwareTestFailedError(RequestError):
    """The slot must not be booted as it is. The name is [documented].

    ``details``: ``check``, the name of the first check that failed, and ``test_summary``, the
    whole account.
    """

    type = "FirmwareTestFailed"


class NoEmptySlotError(RequestError):
    """Every slot is full or reserved, so an upload has nowhere to go."""

    type = "NoEmptySlot"


class InsufficientStorageError(RequestError):
    """The state directory's file system has no room for the upload."""

    type = "InsufficientStorage"


class StorageFailedError(RequestError):
    """The state directory could not be read or written."""

    type = "StorageFailed"


class StorageBusyError(RequestError):
    """Another program holds the database; nothing was changed. ``Retry-After`` is in seconds."""

    type = "StorageBusy"


class ChecksumMismatchError(RequestError):
    """The uploaded bytes do not have the digest that came with them."""

    type = "ChecksumMismatch"


class NotAnImageError(RequestError):
    """The uploaded bytes are no image that the slots accept."""

    type = "NotAnImage"


class RequestTimeoutError(RequestError):
    """The client stopped sending in the middle of a body."""

    type = "RequestTimeout"


class MethodNotAllowedError(RequestError):
    """The resource does not take this method; ``Allow`` and ``details["allow"]`` say which."""

    type = "MethodNotAllowed"


class RequestBodyTooLargeError(RequestError):
    """A JSON body is longer than 64 KiB."""

    type = "RequestBodyTooLarge"


class ExpectationFailedError(RequestError):
    """``Expect`` asks for something other than 100-continue."""

    type = "ExpectationFailed"


class InternalError(RequestError):
    """A bug of ours; the log has the cause."""

    type = "InternalError"
