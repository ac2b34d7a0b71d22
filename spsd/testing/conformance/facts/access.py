"""Facts about requests without a session, and with a user who lacks a permission."""

import secrets

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.target import FETCH, SLOTS, Target

METHODS = "/api/authentication/login_methods"
TYPES = "/api/authentication/types"
FACTS = Facts(Section.AUTHENTICATION, "auth")


def _anonymous_get(target: Target, path: str) -> Answer:
    return target.once(f"stranger {path}", lambda: target.anonymous().call("GET", path))


@FACTS.fact(
    "401", Mark.DOCUMENTED, Need.NOTHING, "Without a session, what needs one is answered with 401."
)
def _(target: Target) -> None:
    for path in (FETCH, SLOTS, "/api/firmware", "/api/user_info", "/api/health_status"):
        checks.status(_anonymous_get(target, path), 401)


@FACTS.fact(
    "401.write",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "So is a write without a session, whatever it says.",
)
def _(target: Target) -> None:
    body = {"url": "http://192.0.2.1/image.iso", "checksum": {"sha256": "0" * 64}}
    checks.status(target.anonymous().call("POST", FETCH, json_body=body), 401)


@FACTS.fact(
    "401.stale-cookie", Mark.DOCUMENTED, Need.NOTHING, "A cookie of no session counts as none: 401."
)
def _(target: Target) -> None:
    client = target.anonymous()
    client.cookie = f"session_id={secrets.token_hex(20)}"
    checks.status(client.call("GET", FETCH), 401)


@FACTS.fact(
    "401.details", Mark.DOCUMENTED, Need.NOTHING, "The details of a 401 hold the path asked for."
)
def _(target: Target) -> None:
    _holds_path(_anonymous_get(target, FETCH), 401, FETCH)


@FACTS.fact("401.type", Mark.OURS, Need.NOTHING, "The type of a 401 is `Unauthenticated`.")
def _(target: Target) -> None:
    checks.error_is(_anonymous_get(target, FETCH), "Unauthenticated")


@FACTS.fact("401.resource", Mark.OURS, Need.NOTHING, "The path is in `details.resource`.")
def _(target: Target) -> None:
    checks.member_is(
        checks.document(_anonymous_get(target, FETCH)), "error.details.resource", FETCH
    )


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
    checks.status(_forbidden(target), 403)


@FACTS.fact(
    "403.details", Mark.DOCUMENTED, Need.LIMITED, "The details of a 403 hold the path asked for."
)
def _(target: Target) -> None:
    _holds_path(_forbidden(target), 403, FETCH)


@FACTS.fact("403.type", Mark.OURS, Need.LIMITED, "The type of a 403 is `Unauthorized`.")
def _(target: Target) -> None:
    checks.error_is(_forbidden(target), "Unauthorized")


def _holds_path(answer: Answer, status: int, path: str) -> None:
    checks.status(answer, status)
    details = checks.mapping(checks.member(checks.document(answer), "error.details"), "details")
    if path not in checks.strings(details):
        raise Broken(f"details do not hold {path}: {checks.brief(details)}")


@FACTS.fact(
    "methods.anonymous",
    Mark.DOCUMENTED,
    Need.NOTHING,
    "A stranger may see how to log in, at `login_methods` or in older versions at `types`.",
)
def _(target: Target) -> None:
    answer, name = _anonymous_get(target, METHODS), "login_methods"
    if answer.status != 200:
        answer, name = _anonymous_get(target, TYPES), "types"
    checks.status(answer, 200)
    checks.member(checks.document(answer), name)


@FACTS.fact(
    "methods.list", Mark.CLIENT, Need.NOTHING, "`login_methods` is a list at the top of the answer."
)
def _(target: Target) -> None:
    answer = _anonymous_get(target, METHODS)
    checks.status(answer, 200)
    checks.array(checks.member(checks.document(answer), "login_methods"), "login_methods")


@FACTS.fact(
    "types",
    Mark.DOCUMENTED,
    Need.NOTHING,
    "`types`, the older form, may list `basic` and `x509`, and one of them at least.",
    since="6.0",
)
def _(target: Target) -> None:
    answer = _anonymous_get(target, TYPES)
    if answer.status in (401, 404) and _anonymous_get(target, METHODS).status == 200:
        raise NotTried("this server has the newer login_methods only")
    checks.status(answer, 200)
    types = checks.array(checks.member(checks.document(answer), "types"), "types")
    if not types or any(name not in ("basic", "x509") for name in types):
        raise Broken(f"types: {checks.brief(types)}")
