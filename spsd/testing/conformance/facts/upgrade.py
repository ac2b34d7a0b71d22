"""Facts about an upgrade: the slot that the run filled is chosen for the next boot."""

from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import checks, uploads
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.dry_run import check_outcome
from spsd.testing.conformance.facts.messages import UPGRADE
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.target import SLOTS, Target

FACTS = Facts(Section.UPGRADE, "upgrade")


@dataclass
class UpgradeRecord:
    """The responses about the run's only upgrade; during a second one the server may restart."""

    answer: Answer
    key: str
    slots: Document
    slot_delete: Answer
    """The response to DELETE of the slot that is chosen now."""
    slots_after: Document


def _upgrade(target: Target) -> UpgradeRecord:
    def run() -> UpgradeRecord:
        key = uploads.form_upload(target).key
        answer = target.call("POST", UPGRADE, json_body={"slot_id": int(key), "message": None})
        target.leave_slot(key, "is chosen for the next boot, with the run's image in it")
        slots = target.read(SLOTS)
        slot_delete = target.call("DELETE", f"{SLOTS}/{key}")
        return UpgradeRecord(answer, key, slots, slot_delete, target.read(SLOTS))

    return target.once("upgrade", run)


@FACTS.fact(
    "incomplete",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "Without `slot_id` the error is `IncompleteRequestBodyError`.",
)
def _(target: Target) -> None:
    answer = target.call("POST", UPGRADE, json_body={"message": "of no slot"})
    checks.error_is(answer, "IncompleteRequestBodyError")


@FACTS.fact(
    "empty",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "With an empty slot the error is `ResourceNotFound`.",
)
def _(target: Target) -> None:
    slot = int(target.empty_slot())
    answer = target.call("POST", UPGRADE, json_body={"slot_id": slot, "message": None})
    checks.error_is(answer, "ResourceNotFound")


@FACTS.fact(
    "message",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "An upgrade takes a `slot_id` and a `message`, which may be null.",
)
def _(target: Target) -> None:
    checks.success(_upgrade(target).answer)


@FACTS.fact("200", Mark.INFERRED, Need.DESTRUCTIVE, "Success is 200, before the restart.")
def _(target: Target) -> None:
    checks.status(_upgrade(target).answer, 200)


@FACTS.fact(
    "shape",
    Mark.SAMPLE,
    Need.DESTRUCTIVE,
    "The answer has `test_summary`, the slot as a string key, and a link to it.",
)
def _(target: Target) -> None:
    upgrade = _upgrade(target)
    check_outcome(checks.document(upgrade.answer), UPGRADE, upgrade.key)


@FACTS.fact(
    "chosen",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "The slot is then the one after the next boot: `after_reboot` is true.",
)
def _(target: Target) -> None:
    upgrade = _upgrade(target)
    body = checks.member(slot_item(upgrade.slots, upgrade.key), "body")
    checks.member_is(body, "after_reboot", True)  # noqa: FBT003 - it is JSON


@FACTS.fact("link", Mark.SAMPLE, Need.DESTRUCTIVE, "`slot_after_reboot` of the list links to it.")
def _(target: Target) -> None:
    upgrade = _upgrade(target)
    checks.member_is(upgrade.slots, "meta.slot_after_reboot", f"{SLOTS}/{upgrade.key}")


@FACTS.fact(
    "kept",
    Mark.DOCUMENTED,
    Need.DESTRUCTIVE,
    "The slot for the next boot cannot be emptied.",
)
def _(target: Target) -> None:
    upgrade = _upgrade(target)
    checks.success(upgrade.answer)
    checks.refused(upgrade.slot_delete)
    before = checks.member(slot_item(upgrade.slots, upgrade.key), "body")
    checks.equal(checks.member(slot_item(upgrade.slots_after, upgrade.key), "body"), before, "body")


@FACTS.fact("kept.409", Mark.OURS, Need.DESTRUCTIVE, "DELETE of it is refused with 409.")
def _(target: Target) -> None:
    checks.status(_upgrade(target).slot_delete, 409)
