"""Refusals that only HTTP knows of."""

from spsd.domain.errors import RequestError


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
