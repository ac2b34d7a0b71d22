"""A download while it waits and runs, and what DELETE does to it then."""

from spsd.testing.conformance import downloads, reading
from spsd.testing.conformance.downloads import Course
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import Target

FACTS = Facts(Section.JOBS, "job", since="7.0")


def _queued(target: Target) -> Course:
    course = downloads.running(target).waiting
    if course.body.get("status") == "in-progress":
        raise NotTried("the server runs two downloads at once, so that none is queued")
    return course


def _running(target: Target) -> Course:
    return downloads.running(target).held


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
    _queued(target).nulls("info", "error", "slot_id", "start_time")


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
    _queued(target).was_cancelled()


@FACTS.fact("running", Mark.SAMPLE, Need.ORIGIN, "A download under way is `in-progress`.")
def _(target: Target) -> None:
    reading.is_at(_running(target).alone, "body.status", "in-progress")


@FACTS.fact("running.info", Mark.SAMPLE, Need.ORIGIN, "Its `info` is `Downloading`.")
def _(target: Target) -> None:
    reading.is_at(_running(target).alone, "body.info", "Downloading")


@FACTS.fact("running.nulls", Mark.SAMPLE, Need.ORIGIN, "`error` and `slot_id` are null meanwhile.")
def _(target: Target) -> None:
    _running(target).nulls("error", "slot_id")


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
    _running(target).was_cancelled()


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
        course.was_removed()


@FACTS.fact("cancelled.body", Mark.OURS, Need.ORIGIN, "It shows no `error` and no `slot_id`.")
def _(target: Target) -> None:
    document = reading.document(_running(target).after_delete())
    for name in ("error", "slot_id"):
        reading.is_at(document, f"body.{name}", None)


@FACTS.fact(
    "cancelled.info", Mark.OURS, Need.ORIGIN, "Its `info` is `Firmware fetching cancelled`."
)
def _(target: Target) -> None:
    document = reading.document(_running(target).after_delete())
    reading.is_at(document, "body.info", "Firmware fetching cancelled")
