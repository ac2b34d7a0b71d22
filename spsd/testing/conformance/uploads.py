"""Images that the run uploads, and the slots that they fill."""

from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import reading
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.reading import NotTried
from spsd.testing.conformance.target import SLOTS, Target

UPLOAD = "/api/upload/firmware"
_BOUNDARY = "spsd-conformance-part"


@dataclass
class Uploaded:
    """An upload that has filled a slot."""

    answer: Answer
    document: Document
    key: str
    slots: Document
    slot: Document
    """The slot by itself."""


def by_form(target: Target) -> Uploaded:
    """A form with one part `firmware`; the slot stays filled until the run ends."""

    def scene() -> Uploaded:
        head = (
            f"--{_BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="firmware"; filename="image.iso"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        content = head.encode() + target.image() + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return _uploaded(target, content, kind)

    return target.once("upload form", scene)


def raw(target: Target, kind: str, **more: str) -> Uploaded:
    """The whole image as the body; the slot is emptied again at once."""

    def scene() -> Uploaded:
        done = _uploaded(target, target.image(), {"Content-Type": kind, **more})
        target.call("DELETE", f"{SLOTS}/{done.key}")
        return done

    return target.once(f"upload {kind}", scene)


def _uploaded(target: Target, content: bytes, headers: dict[str, str]) -> Uploaded:
    before = target.now(SLOTS)
    target.empty_slot()
    answer = target.call("POST", UPLOAD, content=content, headers=headers)
    reading.succeeded(answer)
    document = reading.document(answer)
    key = reading.text(reading.at(document, "key"), "key")
    if reading.at(slot_item(before, key), "body") != {}:
        raise NotTried(f"slot {key} held the image already")
    target.owns_slot(key)
    return Uploaded(answer, document, key, target.now(SLOTS), target.now(f"{SLOTS}/{key}"))
