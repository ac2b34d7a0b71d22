"""Logging in, staying logged in, and what others get."""

import base64
import re
import secrets
from email.message import Message
from http.cookies import CookieError, Morsel, SimpleCookie

from spsd.testing.client import Answer
from spsd.testing.conformance import reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import FETCH, SLOTS, Target

LOG_IN = "/api/authentication"
METHODS = "/api/authentication/login_methods"
TYPES = "/api/authentication/types"
FACTS = Facts(Section.AUTHENTICATION, "auth")


def _opened(target: Target) -> Answer:
    return target.once("log-in", lambda: target.log_in()[1])


def _stranger(target: Target, path: str) -> Answer:
    return target.once(f"stranger {path}", lambda: target.stranger().call("GET", path))


def session_cookie(headers: Message) -> Morsel[str]:
    """The cookie that an answer sets.

    Raises:
        Broken: there is none of that name.
    """
    lines = headers.get_all("Set-Cookie", [])
    for line in lines:
        try:
            jar: SimpleCookie = SimpleCookie(line)
        except CookieError:
            continue
        if "session_id" in jar:
            return jar["session_id"]
    raise Broken(f"no cookie session_id is set, but {lines}")


def basic(user: str, password: str) -> dict[str, str]:
    """The header field of HTTP Basic, in UTF-8."""
    told = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {told}"}


@FACTS.fact(
    "login.200", Mark.DOCUMENTED, Need.SESSION, "A GET with HTTP Basic credentials logs in: 200."
)
def _(target: Target) -> None:
    reading.status(_opened(target), 200)


@FACTS.fact("login.meta", Mark.DOCUMENTED, Need.SESSION, "Its body holds a `meta` object.")
def _(target: Target) -> None:
    reading.mapping(reading.at(reading.document(_opened(target)), "meta"), "meta")


@FACTS.fact("login.body", Mark.OURS, Need.SESSION, "It holds nothing but that.")
def _(target: Target) -> None:
    found = reading.document(_opened(target))
    reading.equal(found, {"meta": {"href": LOG_IN, "parent": "/api"}}, "the body")


@FACTS.fact("login.cookie", Mark.DOCUMENTED, Need.SESSION, "A log-in sets the cookie `session_id`.")
def _(target: Target) -> None:
    session_cookie(_opened(target).headers)


@FACTS.fact(
    "login.cookie.form", Mark.SAMPLE, Need.SESSION, "Its value is 40 lower-case hex digits."
)
def _(target: Target) -> None:
    value = session_cookie(_opened(target).headers).value
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise Broken(f"it has {len(value)} characters of another form")


@FACTS.fact("login.cookie.expiry", Mark.INFERRED, Need.SESSION, "The cookie says when it expires.")
def _(target: Target) -> None:
    cookie = session_cookie(_opened(target).headers)
    if not cookie["max-age"] and not cookie["expires"]:
        raise Broken("it has neither Max-Age nor Expires")


@FACTS.fact(
    "login.cookie.attributes",
    Mark.OURS,
    Need.SESSION,
    "It is `Path=/`, `HttpOnly`, `SameSite=Strict`, and over TLS `Secure`.",
)
def _(target: Target) -> None:
    cookie = session_cookie(_opened(target).headers)
    reading.equal(cookie["path"], "/", "Path")
    reading.equal(cookie["samesite"], "Strict", "SameSite")
    if not cookie["httponly"]:
        raise Broken("it is not HttpOnly")
    if target.session.url.startswith("https:") and not cookie["secure"]:
        raise Broken("it is not Secure")


@FACTS.fact(
    "login.method", Mark.CLIENT, Need.SESSION, "`?login_method=local` may be said at the log-in."
)
def _(target: Target) -> None:
    answer = target.stranger().call(
        "GET", f"{LOG_IN}?login_method=local", headers=basic(target.user, target.password)
    )
    reading.status(answer, 200)
    session_cookie(answer.headers)


@FACTS.fact(
    "login.wrong-password", Mark.INFERRED, Need.SESSION, "Wrong credentials are answered with 401."
)
def _(target: Target) -> None:
    reading.status(_wrong(target), 401)


@FACTS.fact("login.wrong-type", Mark.OURS, Need.SESSION, "The type is then `Unauthenticated`.")
def _(target: Target) -> None:
    reading.is_error(_wrong(target), "Unauthenticated")


def _wrong(target: Target) -> Answer:
    # Of a name that nobody has, so that no account of anybody's is slowed down.
    return target.once(
        "wrong log-in",
        lambda: target.stranger().log_in(f"nobody-{secrets.token_hex(4)}", "wrong"),
    )


@FACTS.fact(
    "cookie.opens", Mark.DOCUMENTED, Need.SESSION, "The cookie alone opens what needs a log-in."
)
def _(target: Target) -> None:
    client, _ = target.log_in()
    for path in (FETCH, SLOTS):
        reading.status(client.call("GET", path), 200)
        if target.stranger().call("GET", path).status == 200:
            raise Broken(f"{path} needs no log-in at all")


@FACTS.fact(
    "basic-beside-cookie",
    Mark.CLIENT,
    Need.SESSION,
    "An `Authorization` header beside a valid cookie is no error.",
)
def _(target: Target) -> None:
    again = basic(target.user, target.password)
    reading.status(target.call("GET", FETCH, headers=again), 200)


@FACTS.fact(
    "basic-alone", Mark.OURS, Need.SESSION, "Basic without a cookie opens nothing else: 401."
)
def _(target: Target) -> None:
    again = basic(target.user, target.password)
    reading.status(target.stranger().call("GET", FETCH, headers=again), 401)


@FACTS.fact("log-out", Mark.OURS, Need.SESSION, "DELETE of the log-in ends the session: 200.")
def _(target: Target) -> None:
    client, _ = target.log_in()
    reading.status(client.call("GET", FETCH), 200)
    reading.status(client.call("DELETE", LOG_IN), 200)
    reading.status(client.call("GET", FETCH), 401)


@FACTS.fact(
    "401", Mark.DOCUMENTED, Need.NOTHING, "Without a session, what needs one is answered with 401."
)
def _(target: Target) -> None:
    for path in (FETCH, SLOTS, "/api/firmware", "/api/user_info", "/api/health_status"):
        reading.status(_stranger(target, path), 401)


@FACTS.fact(
    "401.write",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "So is a write without a session, whatever it says.",
)
def _(target: Target) -> None:
    body = {"url": "http://192.0.2.1/image.iso", "checksum": {"sha256": "0" * 64}}
    reading.status(target.stranger().call("POST", FETCH, json_body=body), 401)


@FACTS.fact(
    "401.stale-cookie", Mark.DOCUMENTED, Need.NOTHING, "A cookie of no session counts as none: 401."
)
def _(target: Target) -> None:
    client = target.stranger()
    client.cookie = f"session_id={secrets.token_hex(20)}"
    reading.status(client.call("GET", FETCH), 401)


@FACTS.fact(
    "401.details", Mark.DOCUMENTED, Need.NOTHING, "The details of a 401 hold the path asked for."
)
def _(target: Target) -> None:
    _holds_path(_stranger(target, FETCH), 401, FETCH)


@FACTS.fact("401.type", Mark.OURS, Need.NOTHING, "The type of a 401 is `Unauthenticated`.")
def _(target: Target) -> None:
    reading.is_error(_stranger(target, FETCH), "Unauthenticated")


@FACTS.fact("401.resource", Mark.OURS, Need.NOTHING, "The path is in `details.resource`.")
def _(target: Target) -> None:
    reading.is_at(reading.document(_stranger(target, FETCH)), "error.details.resource", FETCH)


def _forbidden(target: Target) -> Answer:
    if target.limited is None:
        raise NotTried("needs --limited-user")
    limited = target.limited
    return target.once("forbidden", lambda: limited.call("POST", FETCH, json_body={}))


@FACTS.fact(
    "403",
    Mark.DOCUMENTED,
    Need.LIMITED,
    "Who is logged in but not allowed to is answered with 403.",
)
def _(target: Target) -> None:
    reading.status(_forbidden(target), 403)


@FACTS.fact(
    "403.details", Mark.DOCUMENTED, Need.LIMITED, "The details of a 403 hold the path asked for."
)
def _(target: Target) -> None:
    _holds_path(_forbidden(target), 403, FETCH)


@FACTS.fact("403.type", Mark.OURS, Need.LIMITED, "The type of a 403 is `Unauthorized`.")
def _(target: Target) -> None:
    reading.is_error(_forbidden(target), "Unauthorized")


def _holds_path(answer: Answer, status: int, path: str) -> None:
    reading.status(answer, status)
    details = reading.mapping(reading.at(reading.document(answer), "error.details"), "details")
    if path not in reading.strings(details):
        raise Broken(f"details do not hold {path}: {reading.shown(details)}")


@FACTS.fact(
    "methods.anonymous",
    Mark.DOCUMENTED,
    Need.NOTHING,
    "A stranger may see how to log in, at `login_methods` or in older versions at `types`.",
)
def _(target: Target) -> None:
    if _stranger(target, METHODS).status != 200:
        reading.status(_stranger(target, TYPES), 200)


@FACTS.fact(
    "methods.list", Mark.CLIENT, Need.NOTHING, "`login_methods` is a list at the top of the answer."
)
def _(target: Target) -> None:
    answer = _stranger(target, METHODS)
    reading.status(answer, 200)
    reading.array(reading.at(reading.document(answer), "login_methods"), "login_methods")


@FACTS.fact(
    "types",
    Mark.DOCUMENTED,
    Need.NOTHING,
    "`types`, the older form, may list `basic` and `x509`, and one of them at least.",
    since="6.0",
)
def _(target: Target) -> None:
    answer = _stranger(target, TYPES)
    if answer.status in (401, 404) and _stranger(target, METHODS).status == 200:
        raise NotTried("this server has the newer login_methods only")
    reading.status(answer, 200)
    types = reading.array(reading.at(reading.document(answer), "types"), "types")
    if not types or any(one not in ("basic", "x509") for one in types):
        raise Broken(f"types: {reading.shown(types)}")
