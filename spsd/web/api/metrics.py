"""``/metrics``: what Prometheus reads, and the time that answers take.

Of spsd's own. Who is on the appliance itself may read it without more; others show a token or a
session. (docs/decisions/0024)
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.errors import UnauthenticatedError
from spsd.metrics import OPEN_METRICS, Exposition, Meter
from spsd.web.contract import CONTRACT, EVENT_STREAM, Access, Operation, SuccessResponse
from spsd.web.links import METRICS
from spsd.web.middleware.auth import SESSION

NO_ROUTE = "none"
OTHER_METHOD = "other"
_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_DELETE})
_FORWARDED = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, hdrs.VIA, "X-Real-IP")
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What counts, what tells it, and the token that opens it; None: there is none."""

    meter: Meter
    exposition: Exposition
    token: str | None
    clock: Callable[[], float] = time.perf_counter


MONITORING = web.AppKey("monitoring", Monitoring)


@web.middleware
async def timing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Note how long the answer took, by the route's template and never by the path itself."""
    monitoring = request.app[MONITORING]
    begun = monitoring.clock()
    response = await handler(request)
    if not _waits(request, response):
        operation = request.app[CONTRACT].asked(request)
        monitoring.meter.answered(
            request.method if request.method in _METHODS else OTHER_METHOD,
            NO_ROUTE if operation is None else operation.path,
            f"{response.status // 100}xx",
            monitoring.clock() - begun,
        )
    return response


def _waits(request: web.Request, response: web.StreamResponse) -> bool:
    """Such an answer takes as long as the client wishes."""
    return response.content_type == EVENT_STREAM or "wait" in request.query


async def metrics(request: web.Request) -> web.Response:
    """All of them."""
    monitoring = request.app[MONITORING]
    if not (
        request.get(SESSION) is not None or _is_here(request) or _knows(request, monitoring.token)
    ):
        raise UnauthenticatedError(
            "Metrics are for whoever is on the appliance itself, has a session, or knows the token "
            "in [metrics] token_file (Authorization: Bearer TOKEN)."
        )
    text, content_type = await monitoring.exposition.text(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: content_type})


def _is_here(request: web.Request) -> bool:
    """Whether the client runs on the appliance; through a proxy there, anybody may be behind it."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if peer is None or any(name in request.headers for name in _FORWARDED):
        return False
    address = ip_address(peer[0].partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _knows(request: web.Request, token: str | None) -> bool:
    given = request.headers.get(hdrs.AUTHORIZATION, "")
    if token is None or not given.lower().startswith(_BEARER):
        return False
    shown = given[len(_BEARER) :].strip()
    return hmac.compare_digest(shown.encode(errors="replace"), token.encode())


OPERATIONS = (
    Operation(
        name="getMetrics",
        method=hdrs.METH_GET,
        path=METRICS,
        handler=metrics,
        tag="Appliance",
        summary="Read the metrics",
        notes="Of spsd's own. In Prometheus's text form, or as OpenMetrics where `Accept` asks for "
        "it. Open to clients on the appliance itself that no proxy stands before.",
        access=Access.MONITOR,
        answer=SuccessResponse(
            None, meaning="The metrics.", media_type="text/plain", also=(OPEN_METRICS,)
        ),
    ),
)
