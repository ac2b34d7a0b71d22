"""Trying an upgrade."""

from spsd.testing.client import Answer
from spsd.testing.conformance import reading, uploads
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.messages import TEST
from spsd.testing.conformance.target import SLOTS, Target

FACTS = Facts(Section.TEST, "test")


def outcome(document: Document, path: str, key: str) -> None:
    """What a test or an upgrade of that slot answers."""
    reading.exactly(document, ("body", "key", "meta"), "the answer")
    reading.exactly(reading.at(document, "body"), ("test_summary",), "body")
    reading.text(reading.at(document, "body.test_summary"), "test_summary")
    reading.is_at(document, "key", key)
    meta = {"href": path, "parent": "/api/firmware", "slot": f"{SLOTS}/{key}"}
    reading.equal(reading.at(document, "meta"), meta, "meta")


def _nothing_named(target: Target) -> Answer:
    return target.once("test {}", lambda: target.call("POST", TEST, json_body={}))


def _empty(target: Target) -> Answer:
    def scene() -> Answer:
        return target.call("POST", TEST, json_body={"slot_id": int(target.empty_slot())})

    return target.once("test empty", scene)


@FACTS.fact(
    "incomplete",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "Without `slot_id` the error is `IncompleteRequestBodyError`.",
)
def _(target: Target) -> None:
    reading.is_error(_nothing_named(target), "IncompleteRequestBodyError")


@FACTS.fact("incomplete.400", Mark.OURS, Need.REQUESTS, "Its status is 400.")
def _(target: Target) -> None:
    reading.status(_nothing_named(target), 400)


@FACTS.fact(
    "empty", Mark.DOCUMENTED, Need.REQUESTS, "With an empty slot the error is `ResourceNotFound`."
)
def _(target: Target) -> None:
    reading.is_error(_empty(target), "ResourceNotFound")


@FACTS.fact("empty.404", Mark.OURS, Need.REQUESTS, "Its status is 404.")
def _(target: Target) -> None:
    reading.status(_empty(target), 404)


def _tested(target: Target) -> Answer:
    key = uploads.by_form(target).key
    return target.once("test", lambda: target.call("POST", TEST, json_body={"slot_id": int(key)}))


@FACTS.fact("post", Mark.DOCUMENTED, Need.WRITES, "A POST tests the image of a slot.")
def _(target: Target) -> None:
    reading.succeeded(_tested(target))


@FACTS.fact("200", Mark.INFERRED, Need.WRITES, "Success is 200, when it is done.")
def _(target: Target) -> None:
    reading.status(_tested(target), 200)


@FACTS.fact(
    "shape",
    Mark.CLIENT,
    Need.WRITES,
    "The answer has `test_summary`, the slot as key, and a link to it.",
)
def _(target: Target) -> None:
    outcome(reading.document(_tested(target)), TEST, uploads.by_form(target).key)


@FACTS.fact("string", Mark.OURS, Need.WRITES, "`slot_id` may be a string of digits.")
def _(target: Target) -> None:
    key = uploads.by_form(target).key
    reading.status(target.call("POST", TEST, json_body={"slot_id": key}), 200)


@FACTS.fact("dry", Mark.DOCUMENTED, Need.WRITES, "A test chooses nothing for the next boot.")
def _(target: Target) -> None:
    path = "meta.slot_after_reboot"
    before = reading.at(uploads.by_form(target).slots, path)
    reading.succeeded(_tested(target))
    reading.is_at(target.now(SLOTS), path, before)
