"""Images that the run uploads, and the slots that they fill."""

from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import NotTried
from spsd.testing.conformance.downloads import Document
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.target import SLOTS, Target

UPLOAD = "/api/upload/firmware"
_BOUNDARY = "spsd-conformance-part"


@dataclass
class UploadRecord:
    """The responses about an upload that filled a slot."""

    answer: Answer
    document: Document
    key: str
    """The slot."""
    slots: Document
    slot: Document
    """The slot by itself."""


def form_upload(target: Target) -> UploadRecord:
    """Upload a form with one part `firmware`; the slot stays full until the end of the run."""

    def run() -> UploadRecord:
        head = (
            f"--{_BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="firmware"; filename="image.iso"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        content = head.encode() + target.image() + f"\r\n--{_BOUNDARY}--\r\n".encode()
        content_type = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return _upload(target, content, content_type)

    return target.once("upload form", run)


def raw_upload(target: Target, content_type: str, **more: str) -> UploadRecord:
    """Upload an image as the whole body, and empty its slot at once; `more` are header fields."""

    def run() -> UploadRecord:
        upload = _upload(target, target.image(), {"Content-Type": content_type, **more})
        target.call("DELETE", f"{SLOTS}/{upload.key}")
        return upload

    return target.once(f"upload {content_type}", run)


def _upload(target: Target, content: bytes, headers: dict[str, str]) -> UploadRecord:
    before = target.read(SLOTS)
    target.empty_slot()
    answer = target.call("POST", UPLOAD, content=content, headers=headers)
    checks.success(answer)
    document = checks.document(answer)
    key = checks.string(checks.member(document, "key"), "key")
    if checks.member(slot_item(before, key), "body") != {}:
        raise NotTried(f"slot {key} held the image already")
    target.empty_slot_at_end(key)
    return UploadRecord(answer, document, key, target.read(SLOTS), target.read(f"{SLOTS}/{key}"))
