"""The web application: its routes and middlewares."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import msgspec
from aiohttp import hdrs, web

from spsd.accounts.service import Accounts
from spsd.jobs.feed import Feed
from spsd.jobs.service import Downloads
from spsd.slots.integrity import Integrity
from spsd.slots.service import Slots
from spsd.slots.upgrade import Upgrade
from spsd.slots.upload import Uploads
from spsd.system.host import Host
from spsd.web import browser
from spsd.web.api import appliance, downloads, slots, upgrade, upload
from spsd.web.api.metrics import MONITORING, Monitoring, timing
from spsd.web.api.query import FEED
from spsd.web.connections.tracking import track_request
from spsd.web.contract import CONTRACT, Contract, Operation
from spsd.web.followers import FOLLOWERS, Followers
from spsd.web.limits import LIMITS, WebLimits
from spsd.web.middleware.auth import ACCOUNTS, SECURE, authentication, renewal, require_tls
from spsd.web.middleware.clients import TRUSTED_PROXIES, trusted_networks
from spsd.web.middleware.problems import problems
from spsd.web.middleware.slashes import SpareSlashes
from spsd.web.openapi import document
from spsd.web.requests import close_after_unread_body, defer_continue, expectation
from spsd.web.responses import set_common_fields
from spsd.web.routes import OPERATIONS

BODY_LIMIT = 64 * 1024
"""Longest JSON body, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The objects that the handlers use."""

    accounts: Accounts
    feed: Feed
    downloads: Downloads
    host: Host
    integrity: Integrity
    monitoring: Monitoring
    slots: Slots
    upgrade: Upgrade
    uploads: Uploads


def build_app(
    services: Services,
    *,
    secure: bool,
    config_hash: Callable[[], str],
    trusted_proxies: Sequence[str] = (),
    limits: WebLimits | None = None,
) -> web.Application:
    """The REST API.

    ``secure``: clients use TLS, so the cookie gets the attribute Secure. ``config_hash`` returns
    the SHA-256 of the present settings. ``trusted_proxies``: addresses and networks.
    """
    app = web.Application(
        client_max_size=BODY_LIMIT,
        middlewares=[track_request, timing, renewal, problems, authentication, expectation],
    )
    app[ACCOUNTS] = services.accounts
    app[downloads.DOWNLOAD_SERVICE] = services.downloads
    app[downloads.LISTING] = asyncio.Lock()
    app[FEED] = services.feed
    app.on_shutdown.append(_end_waiting_requests)
    app[appliance.HOST] = services.host
    app[MONITORING] = services.monitoring
    app[appliance.INTEGRITY] = services.integrity
    app[slots.SLOT_STORE] = services.slots
    app[upgrade.UPGRADES] = services.upgrade
    app[upload.UPLOADS] = services.uploads
    app[LIMITS] = limits or WebLimits()
    app[FOLLOWERS] = Followers(app[LIMITS].followers)
    app[SECURE] = secure
    app[TRUSTED_PROXIES] = trusted_networks(trusted_proxies)
    app[appliance.CONFIG_HASH] = config_hash
    app[CONTRACT] = Contract(OPERATIONS)
    app[browser.DOCUMENT] = _document()
    for path, operations in groupby(OPERATIONS, key=lambda operation: operation.path):
        resource = app.router.add_resource(path)
        for operation in operations:
            for method in _methods(operation):
                resource.add_route(method, operation.handler, expect_handler=defer_continue)
    app.on_response_prepare.append(set_common_fields)
    app.on_response_prepare.append(require_tls)
    app.on_response_prepare.append(close_after_unread_body)
    app.router.register_resource(SpareSlashes(app.router))
    return app


# The description is the same for every app, and takes longer to build than the rest of an app.
@cache
def _document() -> bytes:
    return msgspec.json.encode(document(OPERATIONS))


async def _end_waiting_requests(app: web.Application) -> None:
    app[FEED].close()


def _methods(operation: Operation) -> tuple[str, ...]:
    # HEAD is GET without the content (RFC 9110 section 9.3.2).
    get = operation.method == hdrs.METH_GET
    return (hdrs.METH_HEAD, hdrs.METH_GET) if get else (operation.method,)
