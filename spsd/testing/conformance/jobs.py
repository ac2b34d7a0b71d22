"""The states of a download: what each shows, and what DELETE does in it."""

from spsd.testing.client import Answer
from spsd.testing.conformance import downloads, reading
from spsd.testing.conformance.downloads import Course, Installed
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import FETCH, SLOTS, Target

FACTS = Facts(Section.JOBS, "job")


def _queued(target: Target) -> Course:
    course = downloads.running(target).waiting
    if course.body.get("status") == "in-progress":
        raise NotTried("the server runs two downloads at once, so that none is queued")
    return course


def _running(target: Target) -> Course:
    return downloads.running(target).held


def _nulls(course: Course, *names: str) -> None:
    for name in names:
        reading.is_at(course.alone, f"body.{name}", None)


@FACTS.fact("queued", Mark.SAMPLE, Need.ORIGIN, "A download that must wait is `queued`.")
def _(target: Target) -> None:
    reading.is_at(_queued(target).alone, "body.status", "queued")


@FACTS.fact(
    "queued.nulls",
    Mark.SAMPLE,
    Need.ORIGIN,
    "While it is queued, `info`, `error`, `slot_id` and `start_time` are null.",
)
def _(target: Target) -> None:
    _nulls(_queued(target), "info", "error", "slot_id", "start_time")


@FACTS.fact("queued.bytes", Mark.SAMPLE, Need.ORIGIN, "While it is queued, both counts are 0.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        reading.is_at(_queued(target).alone, f"body.{name}", 0)


@FACTS.fact(
    "queued.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "DELETE cancels what is queued; the record stays.",
)
def _(target: Target) -> None:
    _cancelled(_queued(target))


@FACTS.fact("running", Mark.SAMPLE, Need.ORIGIN, "A download under way is `in-progress`.")
def _(target: Target) -> None:
    reading.is_at(_running(target).alone, "body.status", "in-progress")


@FACTS.fact("running.info", Mark.SAMPLE, Need.ORIGIN, "Its `info` is `Downloading`.")
def _(target: Target) -> None:
    reading.is_at(_running(target).alone, "body.info", "Downloading")


@FACTS.fact("running.nulls", Mark.SAMPLE, Need.ORIGIN, "`error` and `slot_id` are null meanwhile.")
def _(target: Target) -> None:
    _nulls(_running(target), "error", "slot_id")


@FACTS.fact("running.start", Mark.DOCUMENTED, Need.ORIGIN, "`start_time` is set from the start on.")
def _(target: Target) -> None:
    reading.text(reading.at(_running(target).body, "start_time"), "start_time")


@FACTS.fact(
    "running.total", Mark.DOCUMENTED, Need.ORIGIN, "`bytes_total` is the origin's `Content-Length`."
)
def _(target: Target) -> None:
    size = downloads.running(target).size
    reading.is_at(_running(target).alone, "body.bytes_total", size)


@FACTS.fact(
    "running.bytes", Mark.DOCUMENTED, Need.ORIGIN, "`bytes_downloaded` tells how far it is."
)
def _(target: Target) -> None:
    told = reading.whole(reading.at(_running(target).body, "bytes_downloaded"), "bytes_downloaded")
    if not 0 < told < downloads.running(target).size:
        raise Broken(f"bytes_downloaded is {told} of {downloads.running(target).size}")


@FACTS.fact(
    "running.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "DELETE cancels a running download, which then is `cancelled`; the record stays.",
)
def _(target: Target) -> None:
    _cancelled(_running(target))


@FACTS.fact(
    "cancelled.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "A second DELETE removes the record of a cancelled download.",
)
def _(target: Target) -> None:
    for course in (_running(target), downloads.running(target).waiting):
        if course.removed is None:
            raise Broken("there was no second DELETE")
        reading.succeeded(course.removed)
        _removed(course)


@FACTS.fact("cancelled.body", Mark.OURS, Need.ORIGIN, "It shows no `error` and no `slot_id`.")
def _(target: Target) -> None:
    document = reading.document(_after(_running(target)))
    for name in ("error", "slot_id"):
        reading.is_at(document, f"body.{name}", None)


@FACTS.fact(
    "cancelled.info", Mark.OURS, Need.ORIGIN, "Its `info` is `Firmware fetching cancelled`."
)
def _(target: Target) -> None:
    document = reading.document(_after(_running(target)))
    reading.is_at(document, "body.info", "Firmware fetching cancelled")


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
    _nulls(course, "slot_id")
    reading.text(reading.at(course.body, "start_time"), "start_time")


@FACTS.fact("failed.delete", Mark.DOCUMENTED, Need.ORIGIN, "DELETE removes a failed download.")
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    reading.succeeded(_deleted(course))
    _removed(course)


@FACTS.fact("delete.answer", Mark.OURS, Need.ORIGIN, "DELETE is answered 200 with only `meta`.")
def _(target: Target) -> None:
    for course in (downloads.mismatched(target), _running(target)):
        reading.status(_deleted(course), 200)
        wanted = {"meta": {"href": course.path, "parent": FETCH}}
        reading.equal(reading.document(_deleted(course)), wanted, "the answer")


@FACTS.fact("removed.404", Mark.OURS, Need.ORIGIN, "After removal: 404 `ResourceNotFound`.")
def _(target: Target) -> None:
    gone = downloads.mismatched(target).gone
    if gone is None:
        raise Broken("there was no GET after the removal")
    reading.status(gone, 404)
    reading.is_error(gone, "ResourceNotFound")


def _done(target: Target) -> Installed:
    return downloads.installed(target)


@FACTS.fact("finished", Mark.SAMPLE, Need.WRITES, "An image that fits its checksum is `finished`.")
def _(target: Target) -> None:
    reading.is_at(_done(target).course.alone, "body.status", "finished")


@FACTS.fact("finished.nulls", Mark.SAMPLE, Need.WRITES, "`info` and `error` are null again.")
def _(target: Target) -> None:
    _nulls(_done(target).course, "info", "error")


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
    if reading.at(downloads.slot_item(_done(target).slots, str(slot)), "body") == {}:
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
    reading.succeeded(_deleted(course))
    _removed(course)


def _deleted(course: Course) -> Answer:
    if course.deleted is None:
        raise Broken("it was not deleted")
    return course.deleted


def _after(course: Course) -> Answer:
    if course.after is None:
        raise Broken("it was not deleted")
    reading.status(course.after, 200)
    return course.after


def _cancelled(course: Course) -> None:
    reading.succeeded(_deleted(course))
    reading.is_at(reading.document(_after(course)), "body.status", "cancelled")


def _removed(course: Course) -> None:
    if course.gone is None or course.gone.status < 400:
        raise Broken("it can still be read")
    if downloads.item(course.left, course.key):
        raise Broken("it is still listed")
