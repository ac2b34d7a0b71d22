"""Upgrading: the slot that the run filled is chosen for the next boot."""

from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import reading, uploads
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.dry_run import outcome
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.messages import UPGRADE
from spsd.testing.conformance.target import SLOTS, Target

FACTS = Facts(Section.UPGRADE, "upgrade")


@dataclass
class Upgraded:
    """One upgrade; a second one might meet a server that restarts."""

    answer: Answer
    key: str
    slots: Document
    refusal: Answer
    """The answer to DELETE of the slot that is chosen now."""
    slots_after: Document


def _upgraded(target: Target) -> Upgraded:
    def scene() -> Upgraded:
        key = uploads.by_form(target).key
        answer = target.call("POST", UPGRADE, json_body={"slot_id": int(key), "message": None})
        target.keeps_slot(key, "is chosen for the next boot, with the run's image in it")
        slots = target.now(SLOTS)
        refusal = target.call("DELETE", f"{SLOTS}/{key}")
        return Upgraded(answer, key, slots, refusal, target.now(SLOTS))

    return target.once("upgrade", scene)


@FACTS.fact(
    "incomplete",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "Without `slot_id` the error is `IncompleteRequestBodyError`.",
)
def _(target: Target) -> None:
    answer = target.call("POST", UPGRADE, json_body={"message": "of no slot"})
    reading.is_error(answer, "IncompleteRequestBodyError")


@FACTS.fact(
    "empty",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "With an empty slot the error is `ResourceNotFound`.",
)
def _(target: Target) -> None:
    slot = int(target.empty_slot())
    answer = target.call("POST", UPGRADE, json_body={"slot_id": slot, "message": None})
    reading.is_error(answer, "ResourceNotFound")


@FACTS.fact(
    "message",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "An upgrade takes a `slot_id` and a `message`, which may be null.",
)
def _(target: Target) -> None:
    reading.succeeded(_upgraded(target).answer)


@FACTS.fact("200", Mark.INFERRED, Need.DESTRUCTIVE, "Success is 200, before the restart.")
def _(target: Target) -> None:
    reading.status(_upgraded(target).answer, 200)


@FACTS.fact(
    "shape",
    Mark.SAMPLE,
    Need.DESTRUCTIVE,
    "The answer has `test_summary`, the slot as a string key, and a link to it.",
)
def _(target: Target) -> None:
    done = _upgraded(target)
    outcome(reading.document(done.answer), UPGRADE, done.key)


@FACTS.fact(
    "chosen",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "The slot is then the one after the next boot: `after_reboot` is true.",
)
def _(target: Target) -> None:
    done = _upgraded(target)
    body = reading.at(slot_item(done.slots, done.key), "body")
    reading.is_at(body, "after_reboot", True)  # noqa: FBT003 - it is JSON


@FACTS.fact("link", Mark.SAMPLE, Need.DESTRUCTIVE, "`slot_after_reboot` of the list links to it.")
def _(target: Target) -> None:
    done = _upgraded(target)
    reading.is_at(done.slots, "meta.slot_after_reboot", f"{SLOTS}/{done.key}")


@FACTS.fact(
    "kept",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "The slot for the next boot cannot be emptied.",
)
def _(target: Target) -> None:
    done = _upgraded(target)
    reading.succeeded(done.answer)
    reading.refused(done.refusal)
    before = reading.at(slot_item(done.slots, done.key), "body")
    reading.equal(reading.at(slot_item(done.slots_after, done.key), "body"), before, "body")


@FACTS.fact("kept.409", Mark.OURS, Need.DESTRUCTIVE, "DELETE of it is refused with 409.")
def _(target: Target) -> None:
    reading.status(_upgraded(target).refusal, 409)
