"""Responses to clients whose request never reaches a handler, as bytes; the connection then closes.

They have the fields and the error shape of every other response. The path of the request is not
known, so ``meta`` names the root.
"""

from http import HTTPStatus

import msgspec

from spsd.web.contract import JSON
from spsd.web.middleware.problems import Problem, ProblemError, ProblemMeta


def _refusal(status: HTTPStatus, kind: str, message: str, *fields: str) -> bytes:
    problem = Problem(ProblemError(kind, message, {}), ProblemMeta("/", None))
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {JSON}",
        f"Content-Length: {len(body)}",
        "Content-Language: en",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Server: spsd",
        "Allow: ",
        "Connection: close",
        *fields,
        "",
        "",
    )
    return "\r\n".join(head).encode() + body


SLOW_HEAD = _refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "RequestTimeout",
    "The head of the request was not complete in time.",
)
LONG_HEAD = _refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "RequestHeaderFieldsTooLarge",
    "The head of the request is longer than 32 KiB.",
)
MANY_HEADS = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "ServiceUnavailable",
    "Too many long heads of requests are incomplete. Send the request again.",
    "Retry-After: 1",
)
FULL = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "ServiceUnavailable",
    "Too many connections are open, and none of them is idle. Send the request again.",
    "Retry-After: 1",
)
