"""Facts about error responses, and about requests that are refused."""

import re
from typing import Any

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.target import FETCH, Target

FACTS = Facts(Section.ERRORS, "errors")
NOWHERE = "http://192.0.2.1/image.iso"  # RFC 5737: an address of no host
DIGEST = "0" * 64


def _refusals(target: Target) -> list[Answer]:
    anonymous = target.once("stranger", lambda: target.anonymous().call("GET", FETCH))
    answers = [anonymous, target.get_once(f"{FETCH}/no-such-key")]
    for answer in answers:
        checks.refused(answer)
    return answers


@FACTS.fact("error", Mark.DOCUMENTED, Need.SESSION, "A refusal has an object `error`.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        checks.mapping(checks.member(checks.document(answer), "error"), "error")


@FACTS.fact("type", Mark.DOCUMENTED, Need.SESSION, "`error.type` is a word in CamelCase.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        kind = checks.error_type(answer)
        if not re.fullmatch(r"([A-Z][a-z0-9]*)+", kind):
            raise Broken(f"error.type is {checks.brief(kind)}")


@FACTS.fact("message", Mark.CLIENT, Need.SESSION, "`error.message` is a text for people.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        if not checks.string(checks.member(checks.document(answer), "error.message"), "message"):
            raise Broken("error.message is empty")


@FACTS.fact("details", Mark.SAMPLE, Need.SESSION, "`error.details` is an object.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        checks.mapping(checks.member(checks.document(answer), "error.details"), "error.details")


@FACTS.fact("meta", Mark.INFERRED, Need.SESSION, "Beside `error` there is `meta`.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        checks.mapping(checks.member(checks.document(answer), "meta"), "meta")


@FACTS.fact(
    "unknown-key", Mark.OURS, Need.SESSION, "An unknown key or path: 404 `ResourceNotFound`."
)
def _(target: Target) -> None:
    for path in (f"{FETCH}/no-such-key", "/api/no-such-path"):
        checks.status(target.get_once(path), 404)
        checks.error_is(target.get_once(path), "ResourceNotFound")


@FACTS.fact("wrong-method", Mark.OURS, Need.REQUESTS, "A wrong method: 405, and `Allow`.")
def _(target: Target) -> None:
    answer = target.call("PUT", FETCH, json_body={})
    checks.status(answer, 405)
    if "GET" not in answer.headers.get("Allow", ""):
        raise Broken(f"Allow is {answer.headers.get('Allow')!r}")


def _submit(target: Target, body: Any) -> Answer:  # noqa: ANN401 - JSON has no better type
    """Submit a body that must be refused; a job that is accepted is removed at the end."""
    answer = target.call("POST", FETCH, json_body=body)
    if answer.status < 300:
        target.remove_job_at_end(
            checks.string(checks.member(checks.document(answer), "key"), "key")
        )
    return answer


def _incomplete(target: Target, body: Any) -> None:  # noqa: ANN401
    answer = _submit(target, body)
    checks.status(answer, 400)
    checks.error_is(answer, "IncompleteRequestBodyError")


@FACTS.fact(
    "checksum-required",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "A fetch without `checksum`, or without `sha256` in it, is refused.",
)
def _(target: Target) -> None:
    for body in ({"url": NOWHERE}, {"url": NOWHERE, "checksum": {}}):
        checks.refused(_submit(target, body))


@FACTS.fact("url-required", Mark.INFERRED, Need.REQUESTS, "A fetch without `url` is refused.")
def _(target: Target) -> None:
    checks.refused(_submit(target, {"checksum": {"sha256": DIGEST}}))


@FACTS.fact(
    "incomplete",
    Mark.OURS,
    Need.REQUESTS,
    "What lacks a member that it needs: 400 `IncompleteRequestBodyError`.",
)
def _(target: Target) -> None:
    _incomplete(target, {"url": NOWHERE})
    _incomplete(target, {"url": NOWHERE, "checksum": {}})
    _incomplete(target, {"checksum": {"sha256": DIGEST}})


@FACTS.fact("not-json", Mark.OURS, Need.REQUESTS, "A body that is no JSON or no object: 400.")
def _(target: Target) -> None:
    for content in (b"{", b"[]", b"null"):
        checks.status(target.call("POST", FETCH, content=content), 400)


@FACTS.fact(
    "only-sha256", Mark.DOCUMENTED, Need.REQUESTS, "Another hash than `sha256` is not accepted."
)
def _(target: Target) -> None:
    checks.refused(_submit(target, {"url": NOWHERE, "checksum": {"md5": "0" * 32}}))


@FACTS.fact("invalid", Mark.OURS, Need.REQUESTS, "Values that cannot be meant: 400.")
def _(target: Target) -> None:
    for body in (
        {"url": "ftp://192.0.2.1/image.iso", "checksum": {"sha256": DIGEST}},
        {"url": NOWHERE, "checksum": {"sha256": "0" * 63}},
        {"url": NOWHERE, "checksum": {"sha256": DIGEST, "md5": "0" * 32}},
        {"url": 7, "checksum": {"sha256": DIGEST}},
        {"url": NOWHERE, "checksum": {"sha256": DIGEST}, "colour": "blue"},
    ):
        checks.status(_submit(target, body), 400)
