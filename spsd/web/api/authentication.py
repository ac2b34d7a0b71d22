"""``/api/authentication``, where GET logs in and DELETE logs out; ``/api/user_info``."""

import base64
import binascii
from itertools import groupby

from aiohttp import hdrs, web

from spsd.accounts.model import Session
from spsd.errors import TooManyAttemptsError, UnauthenticatedError
from spsd.web.contract import CONTRACT, Access, Field, Operation, SuccessResponse
from spsd.web.links import (
    LOG_IN,
    LOGIN_METHODS,
    LOGIN_TYPES,
    ROOT,
    USER_INFO,
    USER_INFO_ALIASES,
    PlainMeta,
    ResourceMeta,
)
from spsd.web.middleware.auth import ACCOUNTS, COOKIE, SECURE, SESSION, set_cookie
from spsd.web.responses import Shape, respond


class LoggedIn(Shape):
    """``meta`` is certain. [documented]; that there is nothing else is our choice."""

    meta: ResourceMeta


class LoginMethod(Shape):
    """A way to log in. [unknown - our choice]."""

    name: str
    type: str


class LoginMethods(Shape):
    """The list is at the top level. [seen in client]."""

    login_methods: list[LoginMethod]
    meta: ResourceMeta


class LoginTypes(Shape):
    """The older form. [documented] 6.0.x."""

    types: list[str]
    meta: ResourceMeta


_LOGGED_IN = LoggedIn(ResourceMeta(LOG_IN, ROOT))


async def log_in(request: web.Request) -> web.Response:
    """Open a session for the Basic credentials; ``login_method`` has one value, local."""
    name, password = basic_credentials(request.headers.get(hdrs.AUTHORIZATION))
    opened = await request.app[ACCOUNTS].log_in(name, password, peer=request.remote or "")
    response = respond(_LOGGED_IN)
    set_cookie(request, response, opened.token)
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session of the cookie."""
    await request.app[ACCOUNTS].log_out(request.cookies[COOKIE])
    response = respond(_LOGGED_IN)
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


async def login_methods(_: web.Request) -> web.Response:
    """Local accounts, and no others."""
    methods = [LoginMethod("local", "basic")]
    return respond(LoginMethods(methods, ResourceMeta(LOGIN_METHODS, LOG_IN)))


async def login_types(_: web.Request) -> web.Response:
    """Passwords, and no client certificates."""
    return respond(LoginTypes(["basic"], ResourceMeta(LOGIN_TYPES, LOG_IN)))


_TAG = "Log-in"
_COOKIE = Field(hdrs.SET_COOKIE, "`session_id`, good for twenty idle minutes.", required=True)
OPERATIONS = (
    Operation(
        name="logIn",
        method=hdrs.METH_GET,
        path=LOG_IN,
        handler=log_in,
        tag=_TAG,
        summary="Log in",
        notes="With HTTP Basic credentials in UTF-8; every other request carries the cookie "
        "`session_id`. The query parameter `login_method` is not looked at: accounts are local.",
        access=Access.ANYONE,
        answer=SuccessResponse(LoggedIn, meaning="A session is open.", headers=(_COOKIE,)),
        errors=(UnauthenticatedError, TooManyAttemptsError),
    ),
    Operation(
        name="logOut",
        method=hdrs.METH_DELETE,
        path=LOG_IN,
        handler=log_out,
        tag=_TAG,
        summary="Log out",
        notes="A method of spsd's own.",
        access=Access.VIEWER,
        answer=SuccessResponse(LoggedIn, meaning="The session is over.", headers=(_COOKIE,)),
    ),
    Operation(
        name="listLoginMethods",
        method=hdrs.METH_GET,
        path=LOGIN_METHODS,
        handler=login_methods,
        tag=_TAG,
        summary="See how one may log in",
        access=Access.ANYONE,
        answer=SuccessResponse(LoginMethods, meaning="The methods."),
    ),
    Operation(
        name="listLoginTypes",
        method=hdrs.METH_GET,
        path=LOGIN_TYPES,
        handler=login_types,
        tag=_TAG,
        summary="See how one may log in, in the older form",
        access=Access.ANYONE,
        answer=SuccessResponse(LoginTypes, meaning="The types."),
    ),
)


class UserName(Shape):
    """The account."""

    name: str


class Endpoint(Shape):
    """A path with the methods that the user may use."""

    methods: list[str]
    url: str


class UserInfo(Shape):
    """No ``body`` around it. [documented] 7.x."""

    user: UserName
    endpoints: list[Endpoint]
    meta: PlainMeta


async def user_info(request: web.Request) -> web.Response:
    """The session's user."""
    session = request[SESSION]
    operations = request.app[CONTRACT].operations
    endpoints = [
        Endpoint(methods, path)
        for path, there in groupby(operations, key=lambda one: one.path)
        if (methods := [one.method for one in there if _may(session, one)])
    ]
    return respond(UserInfo(UserName(session.account), endpoints, PlainMeta(USER_INFO)))


def _may(session: Session, operation: Operation) -> bool:
    return operation.access is not Access.ADMIN or session.may_write()


USER_OPERATIONS = tuple(
    Operation(
        name=name,
        method=hdrs.METH_GET,
        path=path,
        handler=user_info,
        tag="Appliance",
        summary=summary,
        access=Access.VIEWER,
        answer=SuccessResponse(UserInfo, meaning="The user, and each path with its methods."),
    )
    for name, path, summary in [
        ("getUserInfo", USER_INFO, "See who you are and what you may call"),
        *(
            (f"getUserInfo{n}", alias, f"The same as `{USER_INFO}`")
            for n, alias in enumerate(USER_INFO_ALIASES, 2)
        ),
    ]
)
