"""A download that is over: failed, finished, removed."""

from spsd.testing.conformance import downloads, installs, reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.installs import Installed
from spsd.testing.conformance.reading import Broken
from spsd.testing.conformance.target import FETCH, SLOTS, Target

FACTS = Facts(Section.JOBS, "job", since="7.0")


@FACTS.fact("failed", Mark.SAMPLE, Need.ORIGIN, "A download that cannot be had is `failed`.")
def _(target: Target) -> None:
    reading.is_at(downloads.unconnected(target).alone, "body.status", "failed")


@FACTS.fact("failed.digest", Mark.DOCUMENTED, Need.ORIGIN, "So is one whose checksum differs.")
def _(target: Target) -> None:
    reading.is_at(downloads.mismatched(target).alone, "body.status", "failed")


@FACTS.fact("failed.info", Mark.SAMPLE, Need.ORIGIN, "Its `info` is `Firmware fetching failed`.")
def _(target: Target) -> None:
    for course in (downloads.unconnected(target), downloads.mismatched(target)):
        reading.is_at(course.alone, "body.info", "Firmware fetching failed")


@FACTS.fact("failed.error", Mark.DOCUMENTED, Need.ORIGIN, "Its `error` is a text.")
def _(target: Target) -> None:
    for course in (downloads.unconnected(target), downloads.mismatched(target)):
        if not reading.text(reading.at(course.body, "error"), "error"):
            raise Broken("error is empty")


@FACTS.fact("failed.bytes", Mark.SAMPLE, Need.ORIGIN, "Without a connection both counts are 0.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        reading.is_at(downloads.unconnected(target).alone, f"body.{name}", 0)


@FACTS.fact(
    "failed.slot", Mark.SAMPLE, Need.ORIGIN, "Its `slot_id` is null and its `start_time` is set."
)
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    course.nulls("slot_id")
    reading.text(reading.at(course.body, "start_time"), "start_time")


@FACTS.fact("failed.delete", Mark.DOCUMENTED, Need.ORIGIN, "DELETE removes a failed download.")
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    reading.succeeded(course.answered_delete())
    course.was_removed()


@FACTS.fact("delete.answer", Mark.OURS, Need.ORIGIN, "DELETE is answered 200 with only `meta`.")
def _(target: Target) -> None:
    for course in (downloads.mismatched(target), downloads.running(target).held):
        reading.status(course.answered_delete(), 200)
        wanted = {"meta": {"href": course.path, "parent": FETCH}}
        reading.equal(reading.document(course.answered_delete()), wanted, "the answer")


@FACTS.fact("removed.404", Mark.OURS, Need.ORIGIN, "After removal: 404 `ResourceNotFound`.")
def _(target: Target) -> None:
    gone = downloads.mismatched(target).gone
    if gone is None:
        raise Broken("there was no GET after the removal")
    reading.status(gone, 404)
    reading.is_error(gone, "ResourceNotFound")


def _done(target: Target) -> Installed:
    return installs.installed(target)


@FACTS.fact("finished", Mark.SAMPLE, Need.WRITES, "An image that fits its checksum is `finished`.")
def _(target: Target) -> None:
    reading.is_at(_done(target).course.alone, "body.status", "finished")


@FACTS.fact("finished.nulls", Mark.SAMPLE, Need.WRITES, "`info` and `error` are null again.")
def _(target: Target) -> None:
    _done(target).course.nulls("info", "error")


@FACTS.fact("finished.bytes", Mark.SAMPLE, Need.WRITES, "Both counts are the size of the image.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        reading.is_at(_done(target).course.alone, f"body.{name}", _done(target).size)


@FACTS.fact(
    "finished.slot-id",
    Mark.SAMPLE,
    Need.WRITES,
    "`slot_id` is a number: the slot that the image went to.",
)
def _(target: Target) -> None:
    slot = reading.whole(reading.at(_done(target).course.body, "slot_id"), "slot_id")
    if reading.at(installs.slot_item(_done(target).slots, str(slot)), "body") == {}:
        raise Broken(f"slot {slot} is empty")


@FACTS.fact(
    "finished.link",
    Mark.SAMPLE,
    Need.WRITES,
    "`meta.slot` links to the slot, in the list and by itself.",
)
def _(target: Target) -> None:
    course = _done(target).course
    link = f"{SLOTS}/{reading.at(course.body, 'slot_id')}"
    reading.equal(
        reading.at(course.alone, "meta"),
        {"href": course.path, "parent": FETCH, "slot": link},
        "meta",
    )
    wanted = {"href": course.path, "slot": link}
    reading.equal(reading.at(course.listed, "meta"), wanted, "meta of the item")


@FACTS.fact(
    "finished.unchosen",
    Mark.DOCUMENTED,
    Need.WRITES,
    "A fetch does not choose the image for the next boot.",
)
def _(target: Target) -> None:
    done = _done(target)
    reading.is_at(done.slot, "body.after_reboot", False)  # noqa: FBT003 - it is JSON
    before = reading.at(done.slots_before, "meta.slot_after_reboot")
    reading.is_at(done.slots, "meta.slot_after_reboot", before)


@FACTS.fact(
    "finished.record",
    Mark.DOCUMENTED,
    Need.WRITES,
    "The record keeps its `slot_id` when the slot is emptied later.",
)
def _(target: Target) -> None:
    done = _done(target)
    reading.succeeded(done.emptied)
    wanted = reading.at(done.course.body, "slot_id")
    reading.is_at(done.record, "body.slot_id", reading.whole(wanted, "slot_id"))


@FACTS.fact("finished.delete", Mark.DOCUMENTED, Need.WRITES, "DELETE removes a finished download.")
def _(target: Target) -> None:
    course = _done(target).course
    reading.succeeded(course.answered_delete())
    course.was_removed()
