"""Facts about the header fields and the encoding of every response."""

import re
from collections.abc import Iterator

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.target import FETCH, SLOTS, Target

PAGES = ("/api/firmware", FETCH, SLOTS, "/api/info", "/api/user_info")
FACTS = Facts(Section.TRANSPORT, "transport")


def _answers(target: Target) -> Iterator[tuple[str, Answer]]:
    """Yield responses of each kind, with a description: resources, and 4xx errors."""
    for path in PAGES:
        answer = target.get_once(path)
        checks.status(answer, 200)
        yield path, answer
    for what, answer in (
        (
            f"{FETCH} without a session",
            target.once("stranger", lambda: target.anonymous().call("GET", FETCH)),
        ),
        ("a path that is not there", target.get_once(f"{FETCH}/no-such-key")),
    ):
        if not 400 <= answer.status < 500:
            raise Broken(f"{what}: {checks.content(answer)}")
        yield what, answer


@FACTS.fact(
    "allow",
    Mark.DOCUMENTED,
    Need.SESSION,
    "Every answer names in `Allow` the methods of its resource.",
    since="6.0.1",
)
def _(target: Target) -> None:
    for what, answer in _answers(target):
        methods = re.split(r"\s*,\s*", answer.headers.get("Allow", ""))
        if "GET" not in methods:
            raise Broken(f"{what}: Allow is {answer.headers.get('Allow')!r}")


@FACTS.fact(
    "content-language",
    Mark.DOCUMENTED,
    Need.SESSION,
    "Every answer has `Content-Language: en`.",
    since="6.0.1",
)
def _(target: Target) -> None:
    for what, answer in _answers(target):
        checks.equal(answer.headers.get("Content-Language"), "en", f"{what}: Content-Language")


@FACTS.fact(
    "content-type",
    Mark.DOCUMENTED,
    Need.SESSION,
    "Every answer is `application/json`, refusals too.",
    since="6.0.1",
)
def _(target: Target) -> None:
    for what, answer in _answers(target):
        kind = answer.headers.get_content_type()
        if "Content-Type" not in answer.headers or kind != "application/json":
            raise Broken(f"{what}: Content-Type is {answer.headers.get('Content-Type')!r}")


@FACTS.fact("json", Mark.DOCUMENTED, Need.SESSION, "Every answer is a JSON object.")
def _(target: Target) -> None:
    for _, answer in _answers(target):
        checks.document(answer)


@FACTS.fact(
    "type-on-get",
    Mark.CLIENT,
    Need.SESSION,
    "A GET that carries a `Content-Type` but no body is answered as any other.",
)
def _(target: Target) -> None:
    for path in PAGES:
        checks.status(target.call("GET", path, headers={"Content-Type": "application/json"}), 200)


@FACTS.fact(
    "accept",
    Mark.CLIENT,
    Need.SESSION,
    "A client that accepts only `application/octet-stream` gets its JSON all the same.",
)
def _(target: Target) -> None:
    answer = target.call("GET", "/api/info", headers={"Accept": "application/octet-stream"})
    checks.status(answer, 200)
    checks.has_members(checks.document(answer), ("body",), "the answer")


@FACTS.fact("double-slash", Mark.CLIENT, Need.SESSION, "`/api//` is `/api`.")
def _(target: Target) -> None:
    checks.equal(target.document("/api//"), target.document("/api"), "/api//")


@FACTS.fact("unknown-query", Mark.OURS, Need.SESSION, "Unknown query parameters are ignored.")
def _(target: Target) -> None:
    checks.status(target.call("GET", f"{SLOTS}?colour=blue"), 200)
