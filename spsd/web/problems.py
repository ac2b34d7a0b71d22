"""Failures on the wire: one shape, and the one table from our errors to HTTP statuses."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from spsd.domain.errors import (
    ChecksumMismatchError,
    FetchNotCancellableError,
    IncompleteRequestBodyError,
    InsufficientStorageError,
    InvalidRequestBodyError,
    NoEmptySlotError,
    NotAnImageError,
    RequestError,
    RequestTimeoutError,
    ResourceNotFoundError,
    SlotInUseError,
    StorageFailedError,
    TooManyAttemptsError,
    UnauthenticatedError,
    UnauthorizedError,
)
from spsd.web.answers import answer
from spsd.web.auth import LOG_IN

_log = logging.getLogger(__name__)

STATUS: dict[type[RequestError], HTTPStatus] = {
    IncompleteRequestBodyError: HTTPStatus.BAD_REQUEST,
    InvalidRequestBodyError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    UnauthorizedError: HTTPStatus.FORBIDDEN,
    ResourceNotFoundError: HTTPStatus.NOT_FOUND,
    FetchNotCancellableError: HTTPStatus.CONFLICT,
    SlotInUseError: HTTPStatus.CONFLICT,
    TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
    NoEmptySlotError: HTTPStatus.CONFLICT,
    ChecksumMismatchError: HTTPStatus.BAD_REQUEST,
    NotAnImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    InsufficientStorageError: HTTPStatus.INSUFFICIENT_STORAGE,
    StorageFailedError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_ABOUT_THE_PATH = (
    IncompleteRequestBodyError,
    UnauthenticatedError,
    UnauthorizedError,
    ResourceNotFoundError,
    SlotInUseError,
    FetchNotCancellableError,
)
"""Their details hold the path that was asked for: [documented] for 401 and 403."""


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into the error shape; what nobody expected is logged here, once."""
    try:
        return await handler(request)
    except RequestError as error:
        return _refused(request, error)
    except web.RequestPayloadError as error:
        return _refused(request, _unreadable(error))
    except web.HTTPException as error:
        return _by_the_server(request, error)
    except Exception:  # noqa: BLE001 - the last resort: the client gets the one shape, the log the cause
        _log.exception("%s %s failed", request.method, request.path)
        return problem(
            request,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "InternalError",
            "spsd failed to answer; its log says why.",
        )


def _refused(request: web.Request, error: RequestError) -> web.Response:
    about = {"resource": request.path} if isinstance(error, _ABOUT_THE_PATH) else {}
    details = error.details | about
    response = problem(request, STATUS[type(error)], error.type, str(error), details)
    if isinstance(error, TooManyAttemptsError):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnauthenticatedError):
        # RFC 9110 section 15.5.2 wants a challenge; only the log-in takes Basic.
        response.headers["WWW-Authenticate"] = (
            'Basic realm="spsd", charset="UTF-8"'
            if request.path == LOG_IN
            else 'Cookie realm="spsd", cookie-name="session_id"'
        )
    return response


def _unreadable(error: web.RequestPayloadError) -> InvalidRequestBodyError:
    """The body is not coded as its head says; what aiohttp tells has several lines."""
    why = " ".join(str(error).split()).rstrip(".:")
    return InvalidRequestBodyError(f"The body cannot be read: {why}.")


def _by_the_server(request: web.Request, error: web.HTTPException) -> web.Response:
    resource = request.path
    match error:
        case web.HTTPNotFound():
            message = f"There is nothing at {resource}."
            return problem(
                request, HTTPStatus.NOT_FOUND, "ResourceNotFound", message, {"resource": resource}
            )
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{resource} takes {allowed}, not {error.method}."
            return problem(
                request,
                HTTPStatus.METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                message,
                {"allow": allowed},
            )
        case web.HTTPRequestEntityTooLarge():
            message = "The body is longer than 64 KiB."
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return problem(request, status, "RequestBodyTooLarge", message)
        case _:
            status = HTTPStatus(error.status)
            name = "".join(word.capitalize() for word in status.phrase.split())
            return problem(request, status, name, error.reason)


def problem(
    request: web.Request,
    status: HTTPStatus,
    name: str,
    message: str,
    details: Mapping[str, str | int] | None = None,
) -> web.Response:
    """The error body: ``error`` and ``meta``. [documented]."""
    path = request.path
    return answer(
        {
            "error": {"type": name, "message": message, "details": details or {}},
            "meta": {"href": path, "parent": path.rpartition("/")[0] or None},
        },
        status=status,
    )
