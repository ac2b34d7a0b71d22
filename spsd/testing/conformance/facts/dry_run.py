"""Facts about ``POST /api/firmware/test``, which tests an image without choosing it."""

from spsd.testing.client import Answer
from spsd.testing.conformance import checks, uploads
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.messages import TEST
from spsd.testing.conformance.target import SLOTS, Target

FACTS = Facts(Section.TEST, "test")


def check_outcome(document: Document, path: str, key: str) -> None:
    """Check the document of a successful test or upgrade; `key` is the slot."""
    checks.only_members(document, ("body", "key", "meta"), "the answer")
    checks.only_members(checks.member(document, "body"), ("test_summary",), "body")
    checks.string(checks.member(document, "body.test_summary"), "test_summary")
    checks.member_is(document, "key", key)
    meta = {"href": path, "parent": "/api/firmware", "slot": f"{SLOTS}/{key}"}
    checks.equal(checks.member(document, "meta"), meta, "meta")


def _without_slot_id(target: Target) -> Answer:
    return target.once("test {}", lambda: target.call("POST", TEST, json_body={}))


def _of_an_empty_slot(target: Target) -> Answer:
    def run() -> Answer:
        return target.call("POST", TEST, json_body={"slot_id": int(target.empty_slot())})

    return target.once("test empty", run)


@FACTS.fact(
    "incomplete",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "Without `slot_id` the error is `IncompleteRequestBodyError`.",
)
def _(target: Target) -> None:
    checks.error_is(_without_slot_id(target), "IncompleteRequestBodyError")


@FACTS.fact("incomplete.400", Mark.OURS, Need.REQUESTS, "Its status is 400.")
def _(target: Target) -> None:
    checks.status(_without_slot_id(target), 400)


@FACTS.fact(
    "empty", Mark.DOCUMENTED, Need.REQUESTS, "With an empty slot the error is `ResourceNotFound`."
)
def _(target: Target) -> None:
    checks.error_is(_of_an_empty_slot(target), "ResourceNotFound")


@FACTS.fact("empty.404", Mark.OURS, Need.REQUESTS, "Its status is 404.")
def _(target: Target) -> None:
    checks.status(_of_an_empty_slot(target), 404)


def _test_answer(target: Target) -> Answer:
    key = uploads.form_upload(target).key
    return target.once("test", lambda: target.call("POST", TEST, json_body={"slot_id": int(key)}))


@FACTS.fact("post", Mark.DOCUMENTED, Need.WRITES, "A POST tests the image of a slot.")
def _(target: Target) -> None:
    checks.success(_test_answer(target))


@FACTS.fact("200", Mark.INFERRED, Need.WRITES, "Success is 200, when it is done.")
def _(target: Target) -> None:
    checks.status(_test_answer(target), 200)


@FACTS.fact(
    "shape",
    Mark.CLIENT,
    Need.WRITES,
    "The answer has `test_summary`, the slot as key, and a link to it.",
)
def _(target: Target) -> None:
    check_outcome(checks.document(_test_answer(target)), TEST, uploads.form_upload(target).key)


@FACTS.fact("string", Mark.OURS, Need.WRITES, "`slot_id` may be a string of digits.")
def _(target: Target) -> None:
    key = uploads.form_upload(target).key
    checks.status(target.call("POST", TEST, json_body={"slot_id": key}), 200)


@FACTS.fact("dry", Mark.DOCUMENTED, Need.WRITES, "A test chooses nothing for the next boot.")
def _(target: Target) -> None:
    path = "meta.slot_after_reboot"
    before = checks.member(uploads.form_upload(target).slots, path)
    checks.success(_test_answer(target))
    checks.member_is(target.read(SLOTS), path, before)
