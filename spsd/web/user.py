"""``/api/user_info``: who is logged in, and what that user may call."""

from itertools import groupby

from aiohttp import hdrs, web

from spsd.accounts.model import Session
from spsd.web.answers import Shape, answer
from spsd.web.auth import SESSION
from spsd.web.contract import CONTRACT, Access, Answer, Operation
from spsd.web.links import PlainMeta
from spsd.web.paths import USER_INFO, USER_INFO_ALIASES


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
    return answer(UserInfo(UserName(session.account), endpoints, PlainMeta(USER_INFO)))


def _may(session: Session, operation: Operation) -> bool:
    return operation.access is not Access.ADMIN or session.may_write()


OPERATIONS = tuple(
    Operation(
        name=name,
        method=hdrs.METH_GET,
        path=path,
        handler=user_info,
        tag="Appliance",
        summary=summary,
        access=Access.VIEWER,
        answer=Answer(UserInfo, meaning="The user, and each path with its methods."),
    )
    for name, path, summary in [
        ("getUserInfo", USER_INFO, "See who you are and what you may call"),
        *(
            (f"getUserInfo{n}", alias, f"The same as `{USER_INFO}`")
            for n, alias in enumerate(USER_INFO_ALIASES, 2)
        ),
    ]
)
