"""Facts about the upload of an image."""

from spsd.testing.conformance import checks, uploads
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.messages import TEST, UPGRADE
from spsd.testing.conformance.facts.slots import SLOT
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.target import SLOTS, Target
from spsd.testing.conformance.uploads import UPLOAD, UploadRecord

FACTS = Facts(Section.UPLOAD, "upload")


# These two come first: they empty their slot again, so one image is enough for all uploads.
@FACTS.fact(
    "raw.iso",
    Mark.CLIENT,
    Need.WRITES,
    "The image may be the whole body, as `application/x-iso9660-image`.",
)
def _(target: Target) -> None:
    uploads.raw_upload(target, "application/x-iso9660-image")


@FACTS.fact(
    "raw.octets",
    Mark.CLIENT,
    Need.WRITES,
    "It may be `application/octet-stream`, and accepted the same; the answer is JSON.",
)
def _(target: Target) -> None:
    uploads.raw_upload(target, "application/octet-stream", Accept="application/octet-stream")


def _form_upload(target: Target) -> UploadRecord:
    return uploads.form_upload(target)


@FACTS.fact(
    "form",
    Mark.DOCUMENTED,
    Need.WRITES,
    "A form with the image as its part `firmware` fills a slot.",
    since="8.0",
)
def _(target: Target) -> None:
    upload = _form_upload(target)
    if not checks.member(slot_item(upload.slots, upload.key), "body"):
        raise Broken(f"slot {upload.key} is empty")


@FACTS.fact("200", Mark.OURS, Need.WRITES, "It is answered with 200.")
def _(target: Target) -> None:
    checks.status(_form_upload(target).answer, 200)


@FACTS.fact("shape", Mark.SAMPLE, Need.WRITES, "The answer has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    checks.only_members(_form_upload(target).document, ("body", "key", "meta"), "the answer")


@FACTS.fact("body", Mark.SAMPLE, Need.WRITES, "Its body is that of the slot.")
def _(target: Target) -> None:
    body = checks.member(_form_upload(target).document, "body")
    checks.only_members(body, SLOT, "body")
    checks.equal(body, checks.member(_form_upload(target).slot, "body"), "body")


@FACTS.fact("key", Mark.SAMPLE, Need.WRITES, "Its key is the slot, as a string.")
def _(target: Target) -> None:
    upload = _form_upload(target)
    checks.member_is(slot_item(upload.slots, upload.key), "key", upload.key)
    checks.member_is(upload.document, "meta.slot", f"{SLOTS}/{upload.key}")


@FACTS.fact(
    "meta",
    Mark.SAMPLE,
    Need.WRITES,
    "Its `meta` links to slot, test and upgrade, counts the empty slots, and has no parent.",
)
def _(target: Target) -> None:
    upload = _form_upload(target)
    expected = {
        "href": UPLOAD,
        "slot": f"{SLOTS}/{upload.key}",
        "test": TEST,
        "upgrade": UPGRADE,
        "number_of_empty_slots": checks.member(upload.slots, "meta.number_of_empty_slots"),
    }
    checks.equal(checks.member(upload.document, "meta"), expected, "meta")


@FACTS.fact(
    "unchosen",
    Mark.DOCUMENTED,
    Need.WRITES,
    "After an upload `after_reboot` is false.",
    since="8.0",
)
def _(target: Target) -> None:
    checks.member_is(_form_upload(target).document, "body.after_reboot", False)  # noqa: FBT003 - it is JSON


@FACTS.fact("not-an-image", Mark.OURS, Need.WRITES, "What is no image is refused with 422.")
def _(target: Target) -> None:
    target.empty_slot()
    headers = {"Content-Type": "application/octet-stream"}
    answer = target.call("POST", UPLOAD, content=b"no image at all" * 100, headers=headers)
    if answer.status < 300:
        target.empty_slot_at_end(
            checks.string(checks.member(checks.document(answer), "key"), "key")
        )
    checks.status(answer, 422)
