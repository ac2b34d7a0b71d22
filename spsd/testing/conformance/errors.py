"""What a refusal looks like."""

import re
from typing import Any

from spsd.testing.client import Answer
from spsd.testing.conformance import reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.reading import Broken
from spsd.testing.conformance.target import FETCH, Target

FACTS = Facts(Section.ERRORS, "errors")
NOWHERE = "http://192.0.2.1/image.iso"  # RFC 5737: nobody's address
DIGEST = "0" * 64


def _refusals(target: Target) -> list[Answer]:
    stranger = target.once("stranger", lambda: target.stranger().call("GET", FETCH))
    found = [stranger, target.page(f"{FETCH}/no-such-key")]
    for answer in found:
        reading.refused(answer)
    return found


@FACTS.fact("error", Mark.DOCUMENTED, Need.SESSION, "A refusal has an object `error`.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        reading.mapping(reading.at(reading.document(answer), "error"), "error")


@FACTS.fact("type", Mark.DOCUMENTED, Need.SESSION, "`error.type` is a word in CamelCase.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        kind = reading.error_type(answer)
        if not re.fullmatch(r"([A-Z][a-z0-9]*)+", kind):
            raise Broken(f"error.type is {reading.shown(kind)}")


@FACTS.fact("message", Mark.CLIENT, Need.SESSION, "`error.message` is a text for people.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        if not reading.text(reading.at(reading.document(answer), "error.message"), "message"):
            raise Broken("error.message is empty")


@FACTS.fact("details", Mark.SAMPLE, Need.SESSION, "`error.details` is an object.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        reading.mapping(reading.at(reading.document(answer), "error.details"), "error.details")


@FACTS.fact("meta", Mark.INFERRED, Need.SESSION, "Beside `error` there is `meta`.")
def _(target: Target) -> None:
    for answer in _refusals(target):
        reading.mapping(reading.at(reading.document(answer), "meta"), "meta")


@FACTS.fact(
    "unknown-key", Mark.OURS, Need.SESSION, "An unknown key or path: 404 `ResourceNotFound`."
)
def _(target: Target) -> None:
    for path in (f"{FETCH}/no-such-key", "/api/no-such-path"):
        reading.status(target.page(path), 404)
        reading.is_error(target.page(path), "ResourceNotFound")


@FACTS.fact("wrong-method", Mark.OURS, Need.REQUESTS, "A wrong method: 405, and `Allow`.")
def _(target: Target) -> None:
    answer = target.call("PUT", FETCH, json_body={})
    reading.status(answer, 405)
    if "GET" not in answer.headers.get("Allow", ""):
        raise Broken(f"Allow is {answer.headers.get('Allow')!r}")


def _submit(target: Target, body: Any) -> Answer:  # noqa: ANN401 - JSON has no better type
    """Ask for what must not be accepted; what is accepted all the same is taken back."""
    answer = target.call("POST", FETCH, json_body=body)
    if answer.status < 300:
        target.owns_job(reading.text(reading.at(reading.document(answer), "key"), "key"))
    return answer


def _incomplete(target: Target, body: Any) -> None:  # noqa: ANN401
    answer = _submit(target, body)
    reading.status(answer, 400)
    reading.is_error(answer, "IncompleteRequestBodyError")


@FACTS.fact(
    "checksum-required",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "A fetch without `checksum`, or without `sha256` in it, is refused.",
)
def _(target: Target) -> None:
    for body in ({"url": NOWHERE}, {"url": NOWHERE, "checksum": {}}):
        reading.refused(_submit(target, body))


@FACTS.fact("url-required", Mark.INFERRED, Need.REQUESTS, "A fetch without `url` is refused.")
def _(target: Target) -> None:
    reading.refused(_submit(target, {"checksum": {"sha256": DIGEST}}))


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
        reading.status(target.call("POST", FETCH, content=content), 400)


@FACTS.fact(
    "only-sha256", Mark.DOCUMENTED, Need.REQUESTS, "Another hash than `sha256` is not accepted."
)
def _(target: Target) -> None:
    reading.refused(_submit(target, {"url": NOWHERE, "checksum": {"md5": "0" * 32}}))


@FACTS.fact("invalid", Mark.OURS, Need.REQUESTS, "Values that cannot be meant: 400.")
def _(target: Target) -> None:
    for body in (
        {"url": "ftp://192.0.2.1/image.iso", "checksum": {"sha256": DIGEST}},
        {"url": NOWHERE, "checksum": {"sha256": "0" * 63}},
        {"url": NOWHERE, "checksum": {"sha256": DIGEST, "md5": "0" * 32}},
        {"url": 7, "checksum": {"sha256": DIGEST}},
        {"url": NOWHERE, "checksum": {"sha256": DIGEST}, "colour": "blue"},
    ):
        reading.status(_submit(target, body), 400)
