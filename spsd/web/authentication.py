"""``/api/authentication``: GET logs in, DELETE logs out."""

import base64
import binascii

from aiohttp import hdrs, web

from spsd.domain.errors import UnauthenticatedError
from spsd.web.answers import answer
from spsd.web.auth import ACCOUNTS, COOKIE, LOG_IN, SECURE, set_cookie

_META = {"meta": {"href": LOG_IN, "parent": "/api"}}


async def log_in(request: web.Request) -> web.Response:
    """Open a session for the Basic credentials; ``login_method`` has one value, local."""
    name, password = basic_credentials(request.headers.get(hdrs.AUTHORIZATION))
    opened = await request.app[ACCOUNTS].log_in(name, password, peer=request.remote or "")
    response = answer(_META)
    set_cookie(request, response, opened.token)
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session of the cookie."""
    await request.app[ACCOUNTS].log_out(request.cookies[COOKIE])
    response = answer(_META)
    response.del_cookie(
        COOKIE, path="/", httponly=True, secure=request.app[SECURE], samesite="Strict"
    )
    return response


def basic_credentials(header: str | None) -> tuple[str, str]:
    """Name and password (RFC 7617), in UTF-8. [documented].

    Raises:
        UnauthenticatedError: there are none, or they cannot be read.
    """
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        raise UnauthenticatedError("Log in with HTTP Basic: a user name and a password.")
    try:
        name, colon, password = (
            base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        )
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise UnauthenticatedError(
            "The Basic credentials cannot be read: they must be base64 of UTF-8."
        ) from error
    if not colon:
        raise UnauthenticatedError("The Basic credentials have no colon.")
    return name, password
