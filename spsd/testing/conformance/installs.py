"""A download that fills a slot, which is then emptied."""

import hashlib
from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.downloads import (
    Document,
    DownloadRecord,
    is_over,
    list_item,
    poll_until,
    record_list,
    remove,
    require_reached,
    submit,
)
from spsd.testing.conformance.target import SLOTS, Target


@dataclass
class InstallRecord:
    """The responses about a download that filled a slot, which was then emptied."""

    download: DownloadRecord
    size: int
    slots_before: Document
    slots: Document
    slot: Document
    """The full slot by itself."""
    slot_delete: Answer
    slots_after: Document
    download_after: Document
    """The download by itself, when its slot is empty again."""
    second_slot_delete: Answer
    """The response to DELETE of the slot that is already empty."""
    empty_slot: Answer
    """The response to GET of the empty slot."""


def installed(target: Target) -> InstallRecord:
    """Download an image with the right digest into a slot, and empty the slot again."""

    def run() -> InstallRecord:
        image = target.image()
        origin = target.origin({"/image.iso": image})
        before = target.read(SLOTS)
        target.empty_slot()
        download = submit(target, origin.url("/image.iso"), hashlib.sha256(image).hexdigest())
        download.document = poll_until(target, download, is_over, "over")
        if download.body["status"] != "finished":
            require_reached(target, origin, download.body)
            raise Broken(f"an image that fits its digest is not installed: {download.body}")
        slot = checks.integer(checks.member(download.body, "slot_id"), "slot_id")
        if checks.member(slot_item(before, str(slot)), "body") != {}:
            raise NotTried(f"slot {slot} held the image already")
        target.empty_slot_at_end(str(slot))
        record_list(target, download)
        filled, alone = target.read(SLOTS), target.read(f"{SLOTS}/{slot}")
        slot_delete = target.call("DELETE", f"{SLOTS}/{slot}")
        after, download_after = target.read(SLOTS), target.read(download.path)
        second_slot_delete = target.call("DELETE", f"{SLOTS}/{slot}")
        empty_slot = target.call("GET", f"{SLOTS}/{slot}")
        remove(target, download, cancels=False)
        return InstallRecord(
            *(download, len(image), before, filled, alone, slot_delete),
            *(after, download_after, second_slot_delete, empty_slot),
        )

    return target.once("installed", run)


def slot_item(slots: Document, key: str) -> Document:
    """The slot with this key in a list of slots."""
    slot = list_item(slots, key)
    if not slot:
        raise Broken(f"no slot {key} is listed")
    return slot
