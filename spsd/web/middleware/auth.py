"""Authentication by the session cookie, the rights of a role, and refusal of cross-site writes."""

import re
from ipaddress import ip_address
from itertools import islice
from typing import assert_never

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.accounts.model import Session
from spsd.accounts.service import Accounts
from spsd.errors import UnauthenticatedError, UnauthorizedError
from spsd.web.background import is_background
from spsd.web.contract import CONTRACT, Access
from spsd.web.middleware.clients import client_of

COOKIE = "session_id"
ACCOUNTS = web.AppKey("accounts", Accounts)
SECURE = web.AppKey("secure", bool)
SESSION = web.RequestKey("session", Session)
TOKEN = web.RequestKey("token", str)
"""The token by which the session was found."""
MOST_TOKENS = 4
"""Tokens of one request that are looked up."""
_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_AUTHORITY = re.compile(
    r"(?P<host>\[[^\[\]]+\]|[^:/?#@\[\]\s]+)(?::(?P<port>[0-9]{0,5}))?", re.ASCII
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


@web.middleware
async def authentication(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Call the handler only if the client may use the operation.

    Raises:
        UnauthenticatedError: the operation requires a session, and the request has none.
        UnauthorizedError: the role may not use the operation, or another site sent the write.
    """
    _refuse_cross_site_write(request)
    operation = request.app[CONTRACT].operation_for(request)
    # An unknown path gets 401 without a session, like a known one: its existence is not revealed.
    access = Access.VIEWER if operation is None else operation.access
    if access is not Access.ANYONE:
        await _authorize(request, access)
    return await handler(request)


async def _authorize(request: web.Request, access: Access) -> None:
    session = await session_of(request)
    if session is not None:
        request[SESSION] = session
    match access:
        case Access.ANYONE | Access.OPTIONAL_SESSION | Access.MONITOR:
            return
        case Access.VIEWER | Access.ADMIN:
            if session is None:
                raise UnauthenticatedError(
                    "The request has no valid session. Log in with GET /api/authentication."
                )
            if access is Access.ADMIN and not session.may_write():
                raise UnauthorizedError(f"The user {session.account} has read access only.")
        case _:
            assert_never(access)


@web.middleware
async def renewal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the cookie again, with any response, if the request extended the session."""
    response = await handler(request)
    renew_cookie(request, response)
    return response


def renew_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Set the cookie if the request extended the session; call it before the head is sent."""
    session = request.get(SESSION)
    if session is not None and session.touched and COOKIE not in response.cookies:
        set_cookie(request, response, request[TOKEN], session)


async def session_of(request: web.Request) -> Session | None:
    """The first valid session of the request's cookies, which uses it; None if there is none."""
    renew = not is_background(request)
    for token in tokens_of(request):
        session = await request.app[ACCOUNTS].session(token, renew=renew)
        if session is not None:
            request[TOKEN] = token
            return session
    return None


def tokens_of(request: web.Request) -> list[str]:
    """The different tokens in the request's cookies, in their order, :data:`MOST_TOKENS` at most.

    Several ``Cookie`` fields are one list (RFC 9113 section 8.2.3: HTTP/2 may split it, and a proxy
    may pass it on so). Another site of the same domain may add a cookie of the same name, so the
    session is looked for in each (RFC 6265 section 8.6). What cannot be a token is ignored.
    """
    pairs = ";".join(request.headers.getall(hdrs.COOKIE, [])).split(";")
    cookies = (pair.partition("=") for pair in pairs)
    values = (value.strip().strip('"') for name, _, value in cookies if name.strip() == COOKIE)
    tokens = dict.fromkeys(value for value in values if _TOKEN.fullmatch(value))
    return list(islice(tokens, MOST_TOKENS))


def _refuse_cross_site_write(request: web.Request) -> None:
    # RFC 9110 section 9.2.1: safe methods change nothing, so any site may use them.
    if request.method in _READS:
        return
    # RFC 6454 section 7: browsers send Origin with each write. Other clients, such as curl, send
    # neither of the two fields.
    scheme = client_of(request).scheme
    host = request.headers.get(hdrs.HOST, "")
    is_other_origin = not all(
        is_own_origin(origin, host, scheme) for origin in request.headers.getall(hdrs.ORIGIN, [])
    )
    # Fetch Metadata section 2.3: same-site is another host of the same domain.
    is_other_site = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if is_other_origin or is_other_site:
        raise UnauthorizedError("Writes from other web sites are refused.")


def is_own_origin(origin: str, host: str, scheme: str | None) -> bool:
    """Whether the page at ``origin`` is of the server that the field ``Host`` names.

    An origin is a scheme, a host and a port, which may be left out if it is the scheme's default
    (RFC 6454 section 4). ``scheme`` None: not known, because a proxy may have ended TLS; then it is
    that of the origin.
    """
    origin_scheme, colon, authority = origin.partition("://")
    default_port = _DEFAULT_PORTS.get(origin_scheme)
    if not colon or default_port is None or scheme not in (None, origin_scheme):
        return False
    own = _host_and_port(host, default_port)
    return own is not None and own == _host_and_port(authority, default_port)


def _host_and_port(authority: str, default_port: int) -> tuple[str, int] | None:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        return None
    host = parts["host"].lower()
    if host.startswith("["):
        try:
            host = str(ip_address(host[1:-1]))  # an address may be written in several ways
        except ValueError:
            return None
    return host, int(parts["port"] or default_port)


def set_cookie(
    request: web.Request, response: web.StreamResponse, token: str, session: Session
) -> None:
    """Set the session cookie, until the session ends if it is not used. [inferred]."""
    # RFC 6265 section 4.1.2. HttpOnly: no script reads it. Secure: only over TLS, if there is any.
    # SameSite=Strict: browsers do not send it with requests from other sites.
    response.set_cookie(
        COOKIE,
        token,
        path="/",
        max_age=session.remaining_s,
        httponly=True,
        secure=is_secure(request),
        samesite="Strict",
    )


def is_secure(request: web.Request) -> bool:
    """Whether the client uses TLS, to spsd itself or to a trusted proxy."""
    scheme = client_of(request).scheme
    return request.app[SECURE] if scheme is None else scheme == "https"


HSTS = "max-age=86400"
"""A day, renewed by each response: the field applies to every port of the host name (RFC 6797
section 8.2), so a plain HTTP service beside spsd must not be out of reach for long."""


async def require_tls(request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers use only TLS for the host name (RFC 6797 section 7.1).

    A signal handler (``on_response_prepare``). Browsers ignore the field for a host that is an
    address, and with a certificate that they do not accept (sections 8.1 and 8.1.1).
    """
    if is_secure(request):
        response.headers["Strict-Transport-Security"] = HSTS
