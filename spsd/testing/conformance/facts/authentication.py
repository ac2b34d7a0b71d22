"""Facts about log-in, the session cookie, and log-out."""

import base64
import re
import secrets
from email.message import Message
from http.cookies import CookieError, Morsel, SimpleCookie

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.target import FETCH, SLOTS, Target

LOG_IN = "/api/authentication"
FACTS = Facts(Section.AUTHENTICATION, "auth")


def _log_in(target: Target) -> Answer:
    return target.once("log-in", lambda: target.log_in()[1])


def session_cookie(headers: Message) -> Morsel[str]:
    """The cookie `session_id` that a response sets.

    Raises:
        Broken: It sets no such cookie.
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
    """The header field of HTTP Basic (RFC 7617), with the credentials in UTF-8."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


@FACTS.fact(
    "login.200", Mark.DOCUMENTED, Need.SESSION, "A GET with HTTP Basic credentials logs in: 200."
)
def _(target: Target) -> None:
    checks.status(_log_in(target), 200)
    session_cookie(_log_in(target).headers)


@FACTS.fact("login.meta", Mark.DOCUMENTED, Need.SESSION, "Its body holds a `meta` object.")
def _(target: Target) -> None:
    checks.status(_log_in(target), 200)
    checks.mapping(checks.member(checks.document(_log_in(target)), "meta"), "meta")


@FACTS.fact("login.body", Mark.OURS, Need.SESSION, "It holds nothing but that.")
def _(target: Target) -> None:
    actual = checks.document(_log_in(target))
    checks.equal(actual, {"meta": {"href": LOG_IN, "parent": "/api"}}, "the body")


@FACTS.fact("login.cookie", Mark.DOCUMENTED, Need.SESSION, "A log-in sets the cookie `session_id`.")
def _(target: Target) -> None:
    session_cookie(_log_in(target).headers)


@FACTS.fact(
    "login.cookie.form", Mark.SAMPLE, Need.SESSION, "Its value is 40 lower-case hex digits."
)
def _(target: Target) -> None:
    value = session_cookie(_log_in(target).headers).value
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise Broken(f"it has {len(value)} characters of another form")


@FACTS.fact("login.cookie.expiry", Mark.INFERRED, Need.SESSION, "The cookie says when it expires.")
def _(target: Target) -> None:
    cookie = session_cookie(_log_in(target).headers)
    if not cookie["max-age"] and not cookie["expires"]:
        raise Broken("it has neither Max-Age nor Expires")


@FACTS.fact(
    "login.cookie.attributes",
    Mark.OURS,
    Need.SESSION,
    "It is `Path=/`, `HttpOnly`, `SameSite=Strict`, and over TLS `Secure`.",
)
def _(target: Target) -> None:
    cookie = session_cookie(_log_in(target).headers)
    checks.equal(cookie["path"], "/", "Path")
    checks.equal(cookie["samesite"], "Strict", "SameSite")
    if not cookie["httponly"]:
        raise Broken("it is not HttpOnly")
    if target.session.url.startswith("https:") and not cookie["secure"]:
        raise Broken("it is not Secure")


@FACTS.fact(
    "login.method", Mark.CLIENT, Need.SESSION, "`?login_method=local` may be said at the log-in."
)
def _(target: Target) -> None:
    answer = target.anonymous().call(
        "GET", f"{LOG_IN}?login_method=local", headers=basic(target.user, target.password)
    )
    checks.status(answer, 200)
    session_cookie(answer.headers)


@FACTS.fact(
    "login.wrong-password", Mark.INFERRED, Need.SESSION, "Wrong credentials are answered with 401."
)
def _(target: Target) -> None:
    checks.status(_wrong_log_in(target), 401)


@FACTS.fact("login.wrong-type", Mark.OURS, Need.SESSION, "The type is then `Unauthenticated`.")
def _(target: Target) -> None:
    checks.error_is(_wrong_log_in(target), "Unauthenticated")


def _wrong_log_in(target: Target) -> Answer:
    # The name is of no account, because failed log-ins slow down the log-ins of an account.
    return target.once(
        "wrong log-in",
        lambda: target.anonymous().log_in(f"unknown-{secrets.token_hex(4)}", "wrong"),
    )


@FACTS.fact(
    "cookie.opens", Mark.DOCUMENTED, Need.SESSION, "The cookie alone opens what needs a log-in."
)
def _(target: Target) -> None:
    client, _ = target.log_in()
    for path in (FETCH, SLOTS):
        checks.status(client.call("GET", path), 200)
        if target.anonymous().call("GET", path).status == 200:
            raise Broken(f"{path} needs no log-in at all")


@FACTS.fact(
    "basic-beside-cookie",
    Mark.CLIENT,
    Need.SESSION,
    "An `Authorization` header beside a valid cookie is no error.",
)
def _(target: Target) -> None:
    again = basic(target.user, target.password)
    checks.status(target.call("GET", FETCH, headers=again), 200)


@FACTS.fact(
    "basic-alone", Mark.OURS, Need.SESSION, "Basic without a cookie opens nothing else: 401."
)
def _(target: Target) -> None:
    again = basic(target.user, target.password)
    checks.status(target.anonymous().call("GET", FETCH, headers=again), 401)


@FACTS.fact("log-out", Mark.OURS, Need.SESSION, "DELETE of the log-in ends the session: 200.")
def _(target: Target) -> None:
    client, _ = target.log_in()
    checks.status(client.call("GET", FETCH), 200)
    checks.status(client.call("DELETE", LOG_IN), 200)
    checks.status(client.call("GET", FETCH), 401)
