"""Uploading an image."""

from spsd.testing.conformance import reading, uploads
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.messages import TEST, UPGRADE
from spsd.testing.conformance.reading import Broken
from spsd.testing.conformance.slots import SLOT
from spsd.testing.conformance.target import SLOTS, Target
from spsd.testing.conformance.uploads import UPLOAD, Uploaded

FACTS = Facts(Section.UPLOAD, "upload")


# These first: they empty their slot again, so that one image will do for all.
@FACTS.fact(
    "raw.iso",
    Mark.CLIENT,
    Need.WRITES,
    "The image may be the whole body, as `application/x-iso9660-image`.",
)
def _(target: Target) -> None:
    uploads.raw(target, "application/x-iso9660-image")


@FACTS.fact(
    "raw.octets",
    Mark.CLIENT,
    Need.WRITES,
    "It may be `application/octet-stream`, and accepted the same; the answer is JSON.",
)
def _(target: Target) -> None:
    uploads.raw(target, "application/octet-stream", Accept="application/octet-stream")


def _form(target: Target) -> Uploaded:
    return uploads.by_form(target)


@FACTS.fact(
    "form",
    Mark.DOCUMENTED,
    Need.WRITES,
    "A form with the image as its part `firmware` fills a slot.",
    since="8.0",
)
def _(target: Target) -> None:
    done = _form(target)
    if not reading.at(slot_item(done.slots, done.key), "body"):
        raise Broken(f"slot {done.key} is empty")


@FACTS.fact("200", Mark.OURS, Need.WRITES, "It is answered with 200.")
def _(target: Target) -> None:
    reading.status(_form(target).answer, 200)


@FACTS.fact("shape", Mark.SAMPLE, Need.WRITES, "The answer has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    reading.exactly(_form(target).document, ("body", "key", "meta"), "the answer")


@FACTS.fact("body", Mark.SAMPLE, Need.WRITES, "Its body is that of the slot.")
def _(target: Target) -> None:
    body = reading.at(_form(target).document, "body")
    reading.exactly(body, SLOT, "body")
    reading.equal(body, reading.at(_form(target).slot, "body"), "body")


@FACTS.fact("key", Mark.SAMPLE, Need.WRITES, "Its key is the slot, as a string.")
def _(target: Target) -> None:
    done = _form(target)
    reading.is_at(slot_item(done.slots, done.key), "key", done.key)
    reading.is_at(done.document, "meta.slot", f"{SLOTS}/{done.key}")


@FACTS.fact(
    "meta",
    Mark.SAMPLE,
    Need.WRITES,
    "Its `meta` links to slot, test and upgrade, counts the empty slots, and has no parent.",
)
def _(target: Target) -> None:
    done = _form(target)
    wanted = {
        "href": UPLOAD,
        "slot": f"{SLOTS}/{done.key}",
        "test": TEST,
        "upgrade": UPGRADE,
        "number_of_empty_slots": reading.at(done.slots, "meta.number_of_empty_slots"),
    }
    reading.equal(reading.at(done.document, "meta"), wanted, "meta")


@FACTS.fact(
    "unchosen",
    Mark.DOCUMENTED,
    Need.WRITES,
    "After an upload `after_reboot` is false.",
    since="8.0",
)
def _(target: Target) -> None:
    reading.is_at(_form(target).document, "body.after_reboot", False)  # noqa: FBT003 - it is JSON


@FACTS.fact("not-an-image", Mark.OURS, Need.WRITES, "What is no image is refused with 422.")
def _(target: Target) -> None:
    target.empty_slot()
    kind = {"Content-Type": "application/octet-stream"}
    answer = target.call("POST", UPLOAD, content=b"no image at all" * 100, headers=kind)
    if answer.status < 300:
        target.owns_slot(reading.text(reading.at(reading.document(answer), "key"), "key"))
    reading.status(answer, 422)
