"""The server: the routes, and what every request passes through."""

from itertools import groupby

from aiohttp import hdrs, web

from spsd.services.accounts import Accounts
from spsd.services.fetching import Fetching
from spsd.services.slots import Slots
from spsd.web import description, firmware_fetch, firmware_slots
from spsd.web.answers import common_headers
from spsd.web.auth import ACCOUNTS, SECURE, authentication, renewal
from spsd.web.contract import CONTRACT, Contract, Operation
from spsd.web.expectation import expectation, later
from spsd.web.openapi import document
from spsd.web.problems import problems
from spsd.web.routes import OPERATIONS
from spsd.web.slashes import SpareSlashes

BODY_LIMIT = 64 * 1024


def build_app(
    *, fetching: Fetching, slots: Slots, accounts: Accounts, secure: bool
) -> web.Application:
    """The REST API; ``secure`` says that clients reach it over TLS."""
    app = web.Application(
        client_max_size=BODY_LIMIT,
        middlewares=[common_headers, renewal, problems, authentication, expectation],
    )
    app[firmware_fetch.FETCHING] = fetching
    app[firmware_slots.SLOT_STORE] = slots
    app[ACCOUNTS] = accounts
    app[SECURE] = secure
    app[CONTRACT] = Contract(OPERATIONS)
    app[description.DOCUMENT] = document(OPERATIONS)
    for path, operations in groupby(OPERATIONS, key=lambda one: one.path):
        resource = app.router.add_resource(path)
        for one in operations:
            for method in _methods(one):
                resource.add_route(method, one.handler, expect_handler=later)
    app.router.register_resource(SpareSlashes(app.router))
    return app


def _methods(operation: Operation) -> tuple[str, ...]:
    # HEAD is GET without the content (RFC 9110, section 9.3.2).
    get = operation.method == hdrs.METH_GET
    return (hdrs.METH_HEAD, hdrs.METH_GET) if get else (operation.method,)
