"""``/api/authentication``: GET logs in and DELETE logs out; ``/api/user_info``: the user.

Log-in uses HTTP Basic (RFC 7617); all other requests use a cookie (RFC 6265).
"""

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
from spsd.web.middleware.audit import TEXT_LIMIT, Event, log_access
from spsd.web.middleware.auth import (
    ACCOUNTS,
    COOKIE,
    SESSION,
    is_secure,
    set_cookie,
    tokens_of,
)
from spsd.web.middleware.clients import client_of
from spsd.web.responses import Shape, respond


class LoggedIn(Shape):
    """The response to log-in and log-out.

    ``meta`` is [documented]; that there is no other member is our choice.
    """

    meta: ResourceMeta


class LoginMethod(Shape):
    """A method of log-in. [unknown - our choice]."""

    name: str
    type: str


class LoginMethods(Shape):
    """The methods of log-in, at the top level. [seen in client]."""

    login_methods: list[LoginMethod]
    meta: ResourceMeta


class LoginTypes(Shape):
    """The older form of the methods. [documented] 6.0.x."""

    types: list[str]
    meta: ResourceMeta


_LOGGED_IN = LoggedIn(ResourceMeta(LOG_IN, ROOT))


async def log_in(request: web.Request) -> web.Response:
    """Open a session for the Basic credentials. ``login_method`` is ignored: accounts are local."""
    header = request.headers.get(hdrs.AUTHORIZATION)
    name = ""
    try:
        name, password = basic_credentials(header)
        # No account has a longer name, and the names of failed log-ins are remembered.
        name = name[: TEXT_LIMIT + 1]
        opened = await request.app[ACCOUNTS].log_in(name, password, peer=client_of(request).address)
    except UnauthenticatedError:
        if is_basic(header):  # without credentials it is no attempt
            log_access(request, Event.LOG_IN_FAILED, name)
        raise
    except TooManyAttemptsError:
        log_access(request, Event.LOG_IN_THROTTLED, name)
        raise
    log_access(request, Event.LOG_IN, name)
    response = respond(_LOGGED_IN)
    set_cookie(request, response, opened.token, opened.session)
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session of the cookie; of several, all: the next one would be used instead."""
    for token in tokens_of(request):
        await request.app[ACCOUNTS].log_out(token)
    log_access(request, Event.LOG_OUT, request[SESSION].account)
    response = respond(_LOGGED_IN)
    response.del_cookie(
        COOKIE, path="/", httponly=True, secure=is_secure(request), samesite="Strict"
    )
    return response


def is_basic(header: str | None) -> bool:
    """Whether an ``Authorization`` field has the scheme Basic, in any case (RFC 9110, 11.1)."""
    return (header or "").strip().partition(" ")[0].lower() == "basic"


def basic_credentials(header: str | None) -> tuple[str, str]:
    """User name and password of an ``Authorization`` field (RFC 7617), in UTF-8. [documented].

    Raises:
        UnauthenticatedError: the field is absent, has another scheme, or is malformed.
    """
    # Step 1: the scheme.
    if header is None or not is_basic(header):
        raise UnauthenticatedError(
            "Log in with HTTP Basic authentication: a user name and a password."
        )
    _, _, encoded = header.strip().partition(" ")
    # Step 2: base64 (RFC 7617 section 2), here of UTF-8, as the challenge states (section 2.1).
    # Step 3: the first colon ends the user name; the password may have more (section 2).
    try:
        name, colon, password = (
            base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        )
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise UnauthenticatedError("The Basic credentials must be base64 of UTF-8.") from error
    if not colon:
        raise UnauthenticatedError(
            "The Basic credentials must have a colon between user name and password."
        )
    return name, password


async def login_methods(_: web.Request) -> web.Response:
    """The methods of log-in: local accounts only."""
    methods = [LoginMethod("local", "basic")]
    return respond(LoginMethods(methods, ResourceMeta(LOGIN_METHODS, LOG_IN)))


async def login_types(_: web.Request) -> web.Response:
    """The types of log-in: passwords only, no client certificates."""
    return respond(LoginTypes(["basic"], ResourceMeta(LOGIN_TYPES, LOG_IN)))


_TAG = "Log-in"
_COOKIE = Field(hdrs.SET_COOKIE, "The cookie `session_id`; log-out deletes it.", required=True)
OPERATIONS = (
    Operation(
        name="logIn",
        method=hdrs.METH_GET,
        path=LOG_IN,
        handler=log_in,
        tag=_TAG,
        summary="Log in",
        notes="HTTP Basic credentials in UTF-8 open a session; all other requests use its cookie "
        "`session_id`. A session ends when it is not used for `session_idle_minutes` of the "
        "settings, by default 20, and `session_hours` after its log-in, by default 12. Event "
        "streams, requests with `wait`, and requests with the header field `Spsd-Background` are "
        "no use. The query parameter `login_method` is ignored: all accounts are "
        "local.",
        access=Access.ANYONE,
        success=SuccessResponse(LoggedIn, meaning="The session is open.", headers=(_COOKIE,)),
        errors=(UnauthenticatedError, TooManyAttemptsError),
    ),
    Operation(
        name="logOut",
        method=hdrs.METH_DELETE,
        path=LOG_IN,
        handler=log_out,
        tag=_TAG,
        summary="Log out",
        notes="Ends the session of the cookie. An extension of spsd.",
        access=Access.VIEWER,
        success=SuccessResponse(LoggedIn, meaning="The session has ended.", headers=(_COOKIE,)),
    ),
    Operation(
        name="listLoginMethods",
        method=hdrs.METH_GET,
        path=LOGIN_METHODS,
        handler=login_methods,
        tag=_TAG,
        summary="List the methods of log-in",
        access=Access.ANYONE,
        success=SuccessResponse(LoginMethods, meaning="The methods."),
    ),
    Operation(
        name="listLoginTypes",
        method=hdrs.METH_GET,
        path=LOGIN_TYPES,
        handler=login_types,
        tag=_TAG,
        summary="List the methods of log-in, in the older form",
        access=Access.ANYONE,
        success=SuccessResponse(LoginTypes, meaning="The types."),
    ),
)


class UserName(Shape):
    """The user name."""

    name: str


class Endpoint(Shape):
    """A path, and the methods that the user may use there."""

    methods: list[str]
    url: str


class UserInfo(Shape):
    """The user of the session, without a ``body``. [documented] 7.x."""

    user: UserName
    endpoints: list[Endpoint]
    meta: PlainMeta


async def user_info(request: web.Request) -> web.Response:
    """The user of the session, and each path with the methods that the user may use."""
    session = request[SESSION]
    operations = request.app[CONTRACT].operations
    endpoints = [
        Endpoint(methods, path)
        for path, at_path in groupby(operations, key=lambda operation: operation.path)
        if (methods := [each.method for each in at_path if _may_use(session, each)])
    ]
    return respond(UserInfo(UserName(session.account), endpoints, PlainMeta(USER_INFO)))


def _may_use(session: Session, operation: Operation) -> bool:
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
        success=SuccessResponse(UserInfo, meaning="The user, and each path with its methods."),
    )
    for name, path, summary in [
        (
            "getUserInfo",
            USER_INFO,
            "Read the user of the session and the methods that the user may use",
        ),
        *(
            (f"getUserInfo{number}", alias, f"Read the same as at `{USER_INFO}`")
            for number, alias in enumerate(USER_INFO_ALIASES, 2)
        ),
    ]
)
