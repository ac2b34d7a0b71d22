"""``/metrics`` for Prometheus, and the middleware that measures how long requests take.

It is spsd's own and no part of the SPS REST API. Clients on the appliance itself may read it
without authentication; other clients need the token or a session. (docs/decisions/0024)
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.errors import UnauthenticatedError
from spsd.metrics import OPEN_METRICS, Exposition, Metrics
from spsd.web.contract import CONTRACT, EVENT_STREAM, Access, Operation, SuccessResponse
from spsd.web.links import METRICS
from spsd.web.middleware.auth import SESSION
from spsd.web.middleware.clients import client_of

NO_ROUTE = "none"
OTHER_METHOD = "other"
_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_DELETE})
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The metrics, their text, and the token that opens it to other clients; None: no token."""

    metrics: Metrics
    exposition: Exposition
    token: str | None
    clock: Callable[[], float] = time.perf_counter


MONITORING = web.AppKey("monitoring", Monitoring)


@web.middleware
async def timing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Observe how long the request took.

    The labels come from closed lists: the route is a template, never the path itself.
    """
    monitoring = request.app[MONITORING]
    start = monitoring.clock()
    response = await handler(request)
    if not _waits_for_change(request, response):
        operation = request.app[CONTRACT].operation_for(request)
        monitoring.metrics.observe_request(
            request.method if request.method in _METHODS else OTHER_METHOD,
            NO_ROUTE if operation is None else operation.path,
            f"{response.status // 100}xx",
            monitoring.clock() - start,
        )
    return response


def _waits_for_change(request: web.Request, response: web.StreamResponse) -> bool:
    """Whether the client decides how long the response takes."""
    return response.content_type == EVENT_STREAM or "wait" in request.query


async def metrics(request: web.Request) -> web.Response:
    """All metrics as text.

    Raises:
        UnauthenticatedError: the client is not on the appliance, and has no session and no token.
    """
    monitoring = request.app[MONITORING]
    if not (
        request.get(SESSION) is not None
        or client_of(request).on_appliance
        or _has_token(request, monitoring.token)
    ):
        raise UnauthenticatedError(
            "Metrics need a client on the appliance itself, a session, or the token in "
            "[metrics] token_file (Authorization: Bearer TOKEN)."
        )
    text, content_type = await monitoring.exposition.text(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: content_type})


def _has_token(request: web.Request, token: str | None) -> bool:
    """Whether the request has the token (RFC 6750 section 2.1), compared in constant time."""
    authorization = request.headers.get(hdrs.AUTHORIZATION, "")
    if token is None or not authorization.lower().startswith(_BEARER):
        return False
    sent = authorization[len(_BEARER) :].strip()
    return hmac.compare_digest(sent.encode(errors="replace"), token.encode())


OPERATIONS = (
    Operation(
        name="getMetrics",
        method=hdrs.METH_GET,
        path=METRICS,
        handler=metrics,
        tag="Appliance",
        summary="Read the metrics",
        notes="In the text format of Prometheus, or in OpenMetrics if `Accept` names it. Clients "
        "on the appliance itself need no authentication unless the request came through a proxy. "
        "An extension of spsd, no part of the SPS REST API.",
        access=Access.MONITOR,
        success=SuccessResponse(
            None,
            meaning="The metrics.",
            media_type="text/plain",
            other_media_types=(OPEN_METRICS,),
        ),
    ),
)
