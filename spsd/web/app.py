"""The routes and what every request passes through."""

from aiohttp import web

from spsd.services.accounts import Accounts
from spsd.services.fetching import Fetching
from spsd.services.slots import Slots
from spsd.services.uploads import Uploads
from spsd.web import authentication, firmware_fetch, firmware_slots, listings, upload
from spsd.web.answers import common_headers
from spsd.web.auth import ACCOUNTS, LOG_IN, SECURE, renewal
from spsd.web.auth import authentication as authenticated
from spsd.web.codec import FETCH
from spsd.web.problems import problems

BODY_LIMIT = 64 * 1024


def build_app(
    *, fetching: Fetching, slots: Slots, uploads: Uploads, accounts: Accounts, secure: bool
) -> web.Application:
    """The REST API; ``secure`` says that clients reach it over TLS."""
    app = web.Application(
        client_max_size=BODY_LIMIT,
        middlewares=[common_headers, renewal, problems, authenticated],
    )
    app[firmware_fetch.FETCHING] = fetching
    app[firmware_slots.SLOTS] = slots
    app[upload.UPLOADS] = uploads
    app[ACCOUNTS] = accounts
    app[SECURE] = secure
    app.add_routes(
        [
            web.get(listings.ROOT, listings.root),
            web.get(listings.FIRMWARE, listings.firmware),
            web.get(LOG_IN, authentication.log_in),
            web.delete(LOG_IN, authentication.log_out),
            web.post(FETCH, firmware_fetch.submit),
            web.get(FETCH, firmware_fetch.list_all),
            web.get(f"{FETCH}/{{key}}", firmware_fetch.get),
            web.delete(f"{FETCH}/{{key}}", firmware_fetch.delete),
            web.get(f"{FETCH}/{{key}}/history", firmware_fetch.history),
            web.get(firmware_slots.PATH, firmware_slots.list_all),
            web.get(f"{firmware_slots.PATH}/{{slot}}", firmware_slots.get),
            web.delete(f"{firmware_slots.PATH}/{{slot}}", firmware_slots.delete),
            web.post(upload.PATH, upload.receive, expect_handler=upload.keep_expecting),
        ]
    )
    app.on_response_prepare.append(upload.close_unless_read)
    return app
