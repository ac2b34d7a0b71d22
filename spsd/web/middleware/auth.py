"""Authentication by the session cookie, the rights of a role, and refusal of cross-site writes."""

from typing import assert_never
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.accounts.model import Session
from spsd.accounts.service import Accounts
from spsd.errors import UnauthenticatedError, UnauthorizedError
from spsd.web.background import is_background
from spsd.web.contract import CONTRACT, Access

COOKIE = "session_id"
ACCOUNTS = web.AppKey("accounts", Accounts)
SECURE = web.AppKey("secure", bool)
SESSION = web.RequestKey("session", Session)
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
        set_cookie(request, response, request.cookies[COOKIE], session)


async def session_of(request: web.Request) -> Session | None:
    """The valid session of the request's cookie, which uses it; None if there is none."""
    token = request.cookies.get(COOKIE)
    renew = not is_background(request)
    return await request.app[ACCOUNTS].session(token, renew=renew) if token else None


def _refuse_cross_site_write(request: web.Request) -> None:
    # RFC 9110 section 9.2.1: safe methods change nothing, so any site may use them.
    if request.method in _READS:
        return
    # RFC 6454 section 7: browsers send Origin with each write. Other clients, such as curl, send
    # neither of the two fields. The port is part of an origin.
    origin = request.headers.get(hdrs.ORIGIN)
    is_other_origin = origin is not None and _host_of(origin) != request.host.lower()
    # Fetch Metadata section 2.3: same-site is another host of the same domain.
    is_other_site = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if is_other_origin or is_other_site:
        raise UnauthorizedError("Writes from other web sites are refused.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def set_cookie(
    request: web.Request, response: web.StreamResponse, token: str, session: Session
) -> None:
    """Set the session cookie, until the session ends if it is not used. [inferred]."""
    # RFC 6265 section 4.1.2. HttpOnly: no script reads it. Secure: only over TLS, if spsd has it.
    # SameSite=Strict: browsers do not send it with requests from other sites.
    response.set_cookie(
        COOKIE,
        token,
        path="/",
        max_age=session.remaining_s,
        httponly=True,
        secure=request.app[SECURE],
        samesite="Strict",
    )
