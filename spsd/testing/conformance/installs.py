"""A download that fills a slot, which is emptied afterwards."""

import hashlib
from dataclasses import dataclass

from spsd.testing.client import Answer
from spsd.testing.conformance import reading
from spsd.testing.conformance.downloads import (
    Course,
    Document,
    follow,
    item,
    over,
    reached,
    remove,
    show,
    submit,
)
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import SLOTS, Target


@dataclass
class Installed:
    """A download that has filled a slot, which was emptied afterwards."""

    course: Course
    size: int
    slots_before: Document
    slots: Document
    slot: Document
    """The slot by itself, filled."""
    emptied: Answer
    slots_after: Document
    record: Document
    """The download by itself, when its slot is empty again."""
    empty_again: Answer
    """The answer to DELETE of the slot that is empty already."""
    empty_alone: Answer


def installed(target: Target) -> Installed:
    """An image that fits its digest, followed into its slot and out of it again."""

    def scene() -> Installed:
        image = target.image()
        origin = target.origin({"/image.iso": image})
        before = target.now(SLOTS)
        target.empty_slot()
        course = submit(target, origin.url("/image.iso"), hashlib.sha256(image).hexdigest())
        course.alone = follow(target, course, over, "over")
        if course.body["status"] != "finished":
            reached(target, origin, course.body)
            raise Broken(f"an image that fits its digest is not installed: {course.body}")
        slot = reading.whole(reading.at(course.body, "slot_id"), "slot_id")
        if reading.at(slot_item(before, str(slot)), "body") != {}:
            raise NotTried(f"slot {slot} held the image already")
        target.owns_slot(str(slot))
        show(target, course)
        filled, alone = target.now(SLOTS), target.now(f"{SLOTS}/{slot}")
        emptied = target.call("DELETE", f"{SLOTS}/{slot}")
        after, record = target.now(SLOTS), target.now(course.path)
        again = target.call("DELETE", f"{SLOTS}/{slot}")
        empty_alone = target.call("GET", f"{SLOTS}/{slot}")
        remove(target, course, cancels=False)
        return Installed(
            *(course, len(image), before, filled, alone, emptied),
            *(after, record, again, empty_alone),
        )

    return target.once("installed", scene)


def slot_item(slots: Document, key: str) -> Document:
    """The slot of this key in a list of slots."""
    found = item(slots, key)
    if not found:
        raise Broken(f"no slot {key} is listed")
    return found
