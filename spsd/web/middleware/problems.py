"""Failures on the wire: one shape, and the one table from our errors to HTTP statuses."""

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
    MethodNotAllowedError,
    NoEmptySlotError,
    NotAnImageError,
    RequestBodyTooLargeError,
    RequestError,
    RequestTimeoutError,
    ResourceNotFoundError,
    SlotInUseError,
    StorageBusyError,
    StorageFailedError,
    TooManyAttemptsError,
    TooManyReadersError,
    UnauthenticatedError,
    UnauthorizedError,
)
from spsd.failures import ApplianceError
from spsd.storage.faults import DatabaseError, storage_problem
from spsd.web.links import LOG_IN, METRICS
from spsd.web.responses import Shape, respond

_log = logging.getLogger(__name__)
_COOKIE = 'Cookie realm="spsd", cookie-name="session_id"'
_CHALLENGES = {LOG_IN: 'Basic realm="spsd", charset="UTF-8"', METRICS: 'Bearer realm="spsd"'}
"""Only the log-in takes Basic."""
BUSY_RETRY_S = "5"
"""What a client is told to wait where another program holds the database, or too many wait for
changes, in seconds."""
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
    ExpectationFailedError: HTTPStatus.EXPECTATION_FAILED,
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
_ABOUT_THE_PATH = (
    IncompleteRequestBodyError,
    UnauthenticatedError,
    UnauthorizedError,
    ResourceNotFoundError,
    SlotInUseError,
    FetchNotCancellableError,
    FirmwareTestFailedError,
)
"""Their details hold the path that was asked for: [documented] for 401 and 403."""


class ProblemError(Shape):
    """What went wrong."""

    type: str
    message: str
    details: dict[str, str | int]


class ProblemMeta(Shape):
    """Where it went wrong."""

    href: str
    parent: str | None


class Problem(Shape):
    """The error shape. [documented]."""

    error: ProblemError
    meta: ProblemMeta


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into the error shape; what nobody expected is logged here, once."""
    try:
        return await handler(request)
    except RequestError as error:
        return _refused(request, error)
    except web.RequestPayloadError as error:
        return _refused(request, _unreadable(error))
    except (DatabaseError, ApplianceError) as error:
        _log.error("%s %s failed: %s", request.method, request.path, error)
        return _refused(request, storage_problem(error))
    except web.HTTPException as error:
        return _by_the_server(request, error)
    except Exception:  # noqa: BLE001 - the last resort: the client gets the one shape, the log the cause
        _log.exception("%s %s failed", request.method, request.path)
        return _refused(request, InternalError("spsd failed to answer; its log says why."))


def _refused(request: web.Request, error: RequestError) -> web.Response:
    details = dict(error.details)
    if isinstance(error, _ABOUT_THE_PATH):
        details["resource"] = request.path
    told = ProblemError(error.type, str(error), details)
    response = _problem(request, told, STATUS[type(error)])
    if isinstance(error, TooManyAttemptsError):
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if isinstance(error, StorageBusyError | TooManyReadersError):
        response.headers[hdrs.RETRY_AFTER] = BUSY_RETRY_S
    if isinstance(error, UnauthenticatedError):
        response.headers[hdrs.WWW_AUTHENTICATE] = _challenge(request)
    return response


def _challenge(request: web.Request) -> str:
    """RFC 9110 section 15.5.2 wants one."""
    if _is_script(request):
        return _COOKIE
    return _CHALLENGES.get(request.path, _COOKIE)


def _is_script(request: web.Request) -> bool:
    """A browser would ask its user for a password, and the page has a form for that."""
    return "X-Requested-With" in request.headers


def _unreadable(error: web.RequestPayloadError) -> InvalidRequestBodyError:
    """The body is not coded as its head says; what aiohttp tells has several lines."""
    why = " ".join(str(error).split()).rstrip(".:")
    return InvalidRequestBodyError(f"The body cannot be read: {why}.")


def _by_the_server(request: web.Request, error: web.HTTPException) -> web.Response:
    path = request.path
    match error:
        case web.HTTPNotFound():
            return _refused(request, ResourceNotFoundError(f"There is nothing at {path}."))
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{path} takes {allowed}, not {error.method}."
            return _refused(request, MethodNotAllowedError(message, allow=allowed))
        case web.HTTPRequestEntityTooLarge():
            return _refused(request, RequestBodyTooLargeError("The body is longer than 64 KiB."))
        case _:
            status = HTTPStatus(error.status)
            name = "".join(word.capitalize() for word in status.phrase.split())
            return _problem(request, ProblemError(name, error.reason, {}), status)


def _problem(request: web.Request, told: ProblemError, status: HTTPStatus) -> web.Response:
    path = request.path
    meta = ProblemMeta(path, path.rpartition("/")[0] or None)
    return respond(Problem(told, meta), status=status)


def error_table() -> str:
    """Every error type as a row of a Markdown table."""
    rows = ["| Type | HTTP status | When |", "|---|---|---|"]
    for kind, status in sorted(STATUS.items(), key=lambda row: (row[1], row[0].type)):
        rows.append(f"| `{kind.type}` | {status} | {meaning_of(kind)} |")
    return "\n".join(rows)


def meaning_of(kind: type[RequestError]) -> str:
    """When the error is told, as its class says."""
    return " ".join((kind.__doc__ or "").replace("``", "`").split())
