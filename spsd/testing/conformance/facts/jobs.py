"""Facts about the states of a download, and about DELETE in each of them."""

from spsd.testing.conformance import checks, downloads, installs
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.downloads import DownloadRecord
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.installs import InstallRecord
from spsd.testing.conformance.target import FETCH, SLOTS, Target

FACTS = Facts(Section.JOBS, "job", since="7.0")


def _queued(target: Target) -> DownloadRecord:
    download = downloads.running(target).waiting
    if download.body.get("status") == "in-progress":
        raise NotTried("the server runs two downloads at once, so that none is queued")
    return download


def _running(target: Target) -> DownloadRecord:
    return downloads.running(target).hanging


@FACTS.fact("queued", Mark.SAMPLE, Need.ORIGIN, "A download that must wait is `queued`.")
def _(target: Target) -> None:
    checks.member_is(_queued(target).document, "body.status", "queued")


@FACTS.fact(
    "queued.nulls",
    Mark.SAMPLE,
    Need.ORIGIN,
    "While it is queued, `info`, `error`, `slot_id` and `start_time` are null.",
)
def _(target: Target) -> None:
    _queued(target).check_nulls("info", "error", "slot_id", "start_time")


@FACTS.fact("queued.bytes", Mark.SAMPLE, Need.ORIGIN, "While it is queued, both counts are 0.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        checks.member_is(_queued(target).document, f"body.{name}", 0)


@FACTS.fact(
    "queued.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "DELETE cancels what is queued; the record stays.",
)
def _(target: Target) -> None:
    _queued(target).check_cancelled()


@FACTS.fact("running", Mark.SAMPLE, Need.ORIGIN, "A download under way is `in-progress`.")
def _(target: Target) -> None:
    checks.member_is(_running(target).document, "body.status", "in-progress")


@FACTS.fact("running.info", Mark.SAMPLE, Need.ORIGIN, "Its `info` is `Downloading`.")
def _(target: Target) -> None:
    checks.member_is(_running(target).document, "body.info", "Downloading")


@FACTS.fact("running.nulls", Mark.SAMPLE, Need.ORIGIN, "`error` and `slot_id` are null meanwhile.")
def _(target: Target) -> None:
    _running(target).check_nulls("error", "slot_id")


@FACTS.fact("running.start", Mark.DOCUMENTED, Need.ORIGIN, "`start_time` is set from the start on.")
def _(target: Target) -> None:
    checks.string(checks.member(_running(target).body, "start_time"), "start_time")


@FACTS.fact(
    "running.total", Mark.DOCUMENTED, Need.ORIGIN, "`bytes_total` is the origin's `Content-Length`."
)
def _(target: Target) -> None:
    size = downloads.running(target).size
    checks.member_is(_running(target).document, "body.bytes_total", size)


@FACTS.fact(
    "running.bytes",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "`bytes_downloaded` is the number of bytes received so far.",
)
def _(target: Target) -> None:
    count = checks.integer(
        checks.member(_running(target).body, "bytes_downloaded"), "bytes_downloaded"
    )
    if not 0 < count < downloads.running(target).size:
        raise Broken(f"bytes_downloaded is {count} of {downloads.running(target).size}")


@FACTS.fact(
    "running.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "DELETE cancels a running download, which then is `cancelled`; the record stays.",
)
def _(target: Target) -> None:
    _running(target).check_cancelled()


@FACTS.fact(
    "cancelled.delete",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "A second DELETE removes the record of a cancelled download.",
)
def _(target: Target) -> None:
    for download in (_running(target), downloads.running(target).waiting):
        if download.second_delete is None:
            raise Broken("there was no second DELETE")
        checks.success(download.second_delete)
        download.check_removed()


@FACTS.fact("cancelled.body", Mark.OURS, Need.ORIGIN, "It shows no `error` and no `slot_id`.")
def _(target: Target) -> None:
    document = checks.document(_running(target).still_there())
    for name in ("error", "slot_id"):
        checks.member_is(document, f"body.{name}", None)


@FACTS.fact(
    "cancelled.info", Mark.OURS, Need.ORIGIN, "Its `info` is `Firmware fetching cancelled`."
)
def _(target: Target) -> None:
    document = checks.document(_running(target).still_there())
    checks.member_is(document, "body.info", "Firmware fetching cancelled")


@FACTS.fact("failed", Mark.SAMPLE, Need.ORIGIN, "A download that cannot be had is `failed`.")
def _(target: Target) -> None:
    checks.member_is(downloads.unconnected(target).document, "body.status", "failed")


@FACTS.fact("failed.digest", Mark.DOCUMENTED, Need.ORIGIN, "So is one whose checksum differs.")
def _(target: Target) -> None:
    checks.member_is(downloads.mismatched(target).document, "body.status", "failed")


@FACTS.fact("failed.info", Mark.SAMPLE, Need.ORIGIN, "Its `info` is `Firmware fetching failed`.")
def _(target: Target) -> None:
    for download in (downloads.unconnected(target), downloads.mismatched(target)):
        checks.member_is(download.document, "body.info", "Firmware fetching failed")


@FACTS.fact("failed.error", Mark.DOCUMENTED, Need.ORIGIN, "Its `error` is a text.")
def _(target: Target) -> None:
    for download in (downloads.unconnected(target), downloads.mismatched(target)):
        if not checks.string(checks.member(download.body, "error"), "error"):
            raise Broken("error is empty")


@FACTS.fact("failed.bytes", Mark.SAMPLE, Need.ORIGIN, "Without a connection both counts are 0.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        checks.member_is(downloads.unconnected(target).document, f"body.{name}", 0)


@FACTS.fact(
    "failed.slot", Mark.SAMPLE, Need.ORIGIN, "Its `slot_id` is null and its `start_time` is set."
)
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    download.check_nulls("slot_id")
    checks.string(checks.member(download.body, "start_time"), "start_time")


@FACTS.fact("failed.delete", Mark.DOCUMENTED, Need.ORIGIN, "DELETE removes a failed download.")
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    checks.success(download.delete_answer())
    download.check_removed()


@FACTS.fact("delete.answer", Mark.OURS, Need.ORIGIN, "DELETE is answered 200 with only `meta`.")
def _(target: Target) -> None:
    for download in (downloads.mismatched(target), downloads.running(target).hanging):
        checks.status(download.delete_answer(), 200)
        expected = {"meta": {"href": download.path, "parent": FETCH}}
        checks.equal(checks.document(download.delete_answer()), expected, "the answer")


@FACTS.fact("removed.404", Mark.OURS, Need.ORIGIN, "After removal: 404 `ResourceNotFound`.")
def _(target: Target) -> None:
    gone = downloads.mismatched(target).after_removal
    if gone is None:
        raise Broken("there was no GET after the removal")
    checks.status(gone, 404)
    checks.error_is(gone, "ResourceNotFound")


def _install(target: Target) -> InstallRecord:
    return installs.installed(target)


@FACTS.fact("finished", Mark.SAMPLE, Need.WRITES, "An image that fits its checksum is `finished`.")
def _(target: Target) -> None:
    checks.member_is(_install(target).download.document, "body.status", "finished")


@FACTS.fact("finished.nulls", Mark.SAMPLE, Need.WRITES, "`info` and `error` are null again.")
def _(target: Target) -> None:
    _install(target).download.check_nulls("info", "error")


@FACTS.fact("finished.bytes", Mark.SAMPLE, Need.WRITES, "Both counts are the size of the image.")
def _(target: Target) -> None:
    for name in ("bytes_downloaded", "bytes_total"):
        checks.member_is(_install(target).download.document, f"body.{name}", _install(target).size)


@FACTS.fact(
    "finished.slot-id",
    Mark.SAMPLE,
    Need.WRITES,
    "`slot_id` is a number: the slot that the image went to.",
)
def _(target: Target) -> None:
    slot = checks.integer(checks.member(_install(target).download.body, "slot_id"), "slot_id")
    if checks.member(installs.slot_item(_install(target).slots, str(slot)), "body") == {}:
        raise Broken(f"slot {slot} is empty")


@FACTS.fact(
    "finished.link",
    Mark.SAMPLE,
    Need.WRITES,
    "`meta.slot` links to the slot, in the list and by itself.",
)
def _(target: Target) -> None:
    download = _install(target).download
    link = f"{SLOTS}/{checks.member(download.body, 'slot_id')}"
    checks.equal(
        checks.member(download.document, "meta"),
        {"href": download.path, "parent": FETCH, "slot": link},
        "meta",
    )
    expected = {"href": download.path, "slot": link}
    checks.equal(checks.member(download.item, "meta"), expected, "meta of the item")


@FACTS.fact(
    "finished.unchosen",
    Mark.DOCUMENTED,
    Need.WRITES,
    "A fetch does not choose the image for the next boot.",
)
def _(target: Target) -> None:
    install = _install(target)
    checks.member_is(install.slot, "body.after_reboot", False)  # noqa: FBT003 - it is JSON
    before = checks.member(install.slots_before, "meta.slot_after_reboot")
    checks.member_is(install.slots, "meta.slot_after_reboot", before)


@FACTS.fact(
    "finished.record",
    Mark.DOCUMENTED,
    Need.WRITES,
    "The record keeps its `slot_id` when the slot is emptied later.",
)
def _(target: Target) -> None:
    install = _install(target)
    checks.success(install.slot_delete)
    expected = checks.member(install.download.body, "slot_id")
    checks.member_is(install.download_after, "body.slot_id", checks.integer(expected, "slot_id"))


@FACTS.fact("finished.delete", Mark.DOCUMENTED, Need.WRITES, "DELETE removes a finished download.")
def _(target: Target) -> None:
    download = _install(target).download
    checks.success(download.delete_answer())
    download.check_removed()
