"""Who is asking: the session cookie, the rights of a role, and writes from other sites."""

from typing import assert_never
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from spsd.accounts.model import Session
from spsd.accounts.service import Accounts
from spsd.errors import UnauthenticatedError, UnauthorizedError
from spsd.web.contract import CONTRACT, Access

COOKIE = "session_id"
ACCOUNTS = web.AppKey("accounts", Accounts)
SECURE = web.AppKey("secure", bool)
SESSION = web.RequestKey("session", Session)
_READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


@web.middleware
async def authentication(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through who may."""
    _refuse_other_sites(request)
    operation = request.app[CONTRACT].asked(request)
    # Of a path that is not there a stranger learns no more than of one that is.
    access = Access.VIEWER if operation is None else operation.access
    if access is not Access.ANYONE:
        await _recognise(request, access)
    return await handler(request)


async def _recognise(request: web.Request, access: Access) -> None:
    session = await session_of(request)
    if session is not None:
        request[SESSION] = session
    match access:
        case Access.ANYONE | Access.EITHER | Access.MONITOR:
            return
        case Access.VIEWER | Access.ADMIN:
            if session is None:
                raise UnauthenticatedError(
                    "There is no valid session; log in with GET /api/authentication."
                )
            if access is Access.ADMIN and not session.may_write():
                raise UnauthorizedError(f"The user {session.account} may only read.")
        case _:
            assert_never(access)


@web.middleware
async def renewal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A session whose limit moved gets its cookie again, with whatever answer."""
    response = await handler(request)
    renew(request, response)
    return response


def renew(request: web.Request, response: web.StreamResponse) -> None:
    """Whoever sends the head itself calls this before."""
    session = request.get(SESSION)
    if session is not None and session.touched and COOKIE not in response.cookies:
        set_cookie(request, response, request.cookies[COOKIE])


async def session_of(request: web.Request) -> Session | None:
    """The session that the request's cookie opens now."""
    token = request.cookies.get(COOKIE)
    return await request.app[ACCOUNTS].session(token) if token else None


def _refuse_other_sites(request: web.Request) -> None:
    """A browser says where a request comes from; curl and other clients say nothing."""
    if request.method in _READS:
        return
    origin = request.headers.get(hdrs.ORIGIN)
    foreign = origin is not None and _host_of(origin) != request.host.lower()
    if foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise UnauthorizedError("Writes that come from another web site are refused.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def set_cookie(request: web.Request, response: web.StreamResponse, token: str) -> None:
    """The cookie lasts as long as an idle session does. [inferred]."""
    response.set_cookie(
        COOKIE,
        token,
        path="/",
        max_age=request.app[ACCOUNTS].idle_s,
        httponly=True,
        secure=request.app[SECURE],
        samesite="Strict",
    )
