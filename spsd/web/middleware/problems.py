"""Errors on the wire: their JSON shape, and the table from error classes to HTTP statuses."""

import logging
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.errors import (
    ChecksumMismatchError,
    ExpectationFailedError,
    FetchNotCancellableError,
    FirmwareTestFailedError,
    IncompleteRequestBodyError,
    InsufficientStorageError,
    InternalError,
    InvalidQueryError,
    InvalidRequestBodyError,
    MalformedRequestError,
    MethodNotAllowedError,
    NoEmptySlotError,
    NotAnImageError,
    RequestBodyTooLargeError,
    RequestError,
    RequestHeaderFieldsTooLargeError,
    RequestTimeoutError,
    ResourceNotFoundError,
    SlotInUseError,
    StorageBusyError,
    StorageFailedError,
    TooManyAttemptsError,
    TooManyReadersError,
    UnauthenticatedError,
    UnauthorizedError,
    UnsupportedContentCodingError,
    UriTooLongError,
)
from spsd.failures import ApplianceError
from spsd.storage.faults import DatabaseError, storage_problem
from spsd.web.links import LOG_IN, METRICS
from spsd.web.requests import ACCEPT_ENCODING, unknown_expectation
from spsd.web.responses import Shape, respond

_log = logging.getLogger(__name__)
_COOKIE = 'Cookie realm="spsd", cookie-name="session_id"'
_CHALLENGES = {LOG_IN: 'Basic realm="spsd", charset="UTF-8"', METRICS: 'Bearer realm="spsd"'}
"""The challenge of each path that does not use the cookie; only log-in uses Basic."""
BUSY_RETRY_S = "5"
"""``Retry-After`` in seconds when the database is locked or too many clients wait for changes."""
STATUS: dict[type[RequestError], HTTPStatus] = {
    IncompleteRequestBodyError: HTTPStatus.BAD_REQUEST,
    InvalidRequestBodyError: HTTPStatus.BAD_REQUEST,
    InvalidQueryError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    UnauthorizedError: HTTPStatus.FORBIDDEN,
    ResourceNotFoundError: HTTPStatus.NOT_FOUND,
    MethodNotAllowedError: HTTPStatus.METHOD_NOT_ALLOWED,
    FetchNotCancellableError: HTTPStatus.CONFLICT,
    SlotInUseError: HTTPStatus.CONFLICT,
    FirmwareTestFailedError: HTTPStatus.CONFLICT,
    RequestBodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UriTooLongError: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedContentCodingError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ExpectationFailedError: HTTPStatus.EXPECTATION_FAILED,
    MalformedRequestError: HTTPStatus.BAD_REQUEST,
    RequestHeaderFieldsTooLargeError: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyReadersError: HTTPStatus.SERVICE_UNAVAILABLE,
    NoEmptySlotError: HTTPStatus.CONFLICT,
    ChecksumMismatchError: HTTPStatus.BAD_REQUEST,
    NotAnImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StorageFailedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StorageBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    InsufficientStorageError: HTTPStatus.INSUFFICIENT_STORAGE,
}
_WITH_RESOURCE = (
    IncompleteRequestBodyError,
    UnauthenticatedError,
    UnauthorizedError,
    ResourceNotFoundError,
    SlotInUseError,
    FetchNotCancellableError,
    FirmwareTestFailedError,
)
"""Errors whose details have the path as ``resource``: [documented] for 401 and 403."""


class ProblemError(Shape):
    """The error: a stable type, a sentence for a person, and facts for programs."""

    type: str
    message: str
    details: dict[str, str | int]


class ProblemMeta(Shape):
    """The path of the request and its parent."""

    href: str
    parent: str | None


class Problem(Shape):
    """The response to a failed request. [documented]."""

    error: ProblemError
    meta: ProblemMeta


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert every exception into a :class:`Problem`; unexpected ones are logged here, once."""
    try:
        return await handler(request)
    except RequestError as error:
        return refused(request, error)
    except web.RequestPayloadError as error:
        return refused(request, _invalid_body(error))
    except (DatabaseError, ApplianceError) as error:
        _log.error("%s %s failed: %s", request.method, request.path, error)
        return refused(request, storage_problem(error))
    except web.HTTPException as error:
        return refused_by_aiohttp(request, error)
    except Exception:  # noqa: BLE001 - the client gets a Problem in any case, and the log the cause
        _log.exception("%s %s failed", request.method, request.path)
        return refused(request, InternalError("A bug in spsd; its log has the cause."))


def refused(request: web.Request, error: RequestError) -> web.Response:
    """The response to a request that is refused with ``error``."""
    details = dict(error.details)
    if isinstance(error, _WITH_RESOURCE):
        details["resource"] = request.path
    problem = ProblemError(error.type, str(error), details)
    response = _respond_problem(request, problem, STATUS[type(error)])
    if isinstance(error, TooManyAttemptsError):
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if isinstance(error, StorageBusyError | TooManyReadersError):
        response.headers[hdrs.RETRY_AFTER] = BUSY_RETRY_S
    if isinstance(error, UnsupportedContentCodingError):
        response.headers[hdrs.ACCEPT_ENCODING] = ACCEPT_ENCODING
    if isinstance(error, UnauthenticatedError):
        response.headers[hdrs.WWW_AUTHENTICATE] = _challenge(request)
    return response


def _challenge(request: web.Request) -> str:
    """The value of WWW-Authenticate, which a 401 must have (RFC 9110 section 15.5.2)."""
    if _is_from_script(request):
        return _COOKIE
    return _CHALLENGES.get(request.path, _COOKIE)


def _is_from_script(request: web.Request) -> bool:
    """Whether a script of a page sent the request.

    For a Basic challenge the browser would open its own password dialog; the page has a form.
    """
    return "X-Requested-With" in request.headers


def _invalid_body(error: web.RequestPayloadError) -> InvalidRequestBodyError:
    """The body does not have the coding of its header; aiohttp's message has several lines."""
    reason = " ".join(str(error).split()).rstrip(".:")
    return InvalidRequestBodyError(f"The body cannot be read: {reason}.")


def refused_by_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    """The response to a request that aiohttp refuses with ``error``."""
    path = request.path
    match error:
        case web.HTTPNotFound():
            return refused(request, ResourceNotFoundError(f"The path {path} names no resource."))
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{path} has the methods {allowed}, not {error.method}."
            return refused(request, MethodNotAllowedError(message, allow=allowed))
        case web.HTTPRequestEntityTooLarge():
            return refused(request, RequestBodyTooLargeError("The body is longer than 64 KiB."))
        case web.HTTPExpectationFailed():
            return refused(request, unknown_expectation())
        case _:
            status = HTTPStatus(error.status)
            name = "".join(word.capitalize() for word in status.phrase.split())
            return _respond_problem(request, ProblemError(name, error.reason, {}), status)


def _respond_problem(request: web.Request, error: ProblemError, status: HTTPStatus) -> web.Response:
    path = request.path
    meta = ProblemMeta(path, path.rpartition("/")[0] or None)
    return respond(Problem(error, meta), status=status)


def error_table() -> str:
    """Every error type as a row of a Markdown table."""
    rows = ["| Type | HTTP status | Meaning |", "|---|---|---|"]
    for kind, status in sorted(STATUS.items(), key=lambda row: (row[1], row[0].type)):
        rows.append(f"| `{kind.type}` | {status} | {meaning_of(kind)} |")
    return "\n".join(rows)


def meaning_of(kind: type[RequestError]) -> str:
    """The docstring of the error, in one line."""
    return " ".join((kind.__doc__ or "").replace("``", "`").split())
