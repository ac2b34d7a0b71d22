"""Facts about the submission of a download, and about the documents that show it."""

import json
import re

from spsd.testing.conformance import checks, downloads
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.downloads import UNCONNECTED, WRONG
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.messages import SIBLINGS
from spsd.testing.conformance.target import FETCH, Target

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
BODY = (
    "bytes_downloaded",
    "bytes_total",
    "error",
    "info",
    "slot_id",
    "start_time",
    "status",
    "url",
)
FACTS = Facts(Section.FETCH, "fetch", since="7.0")


@FACTS.fact("post.202", Mark.DOCUMENTED, Need.ORIGIN, "A fetch is accepted with 202.")
def _(target: Target) -> None:
    checks.status(downloads.submitted(target).posted, 202)


@FACTS.fact(
    "post.shape", Mark.SAMPLE, Need.ORIGIN, "The answer has `key` and `meta`, and no `body`."
)
def _(target: Target) -> None:
    checks.only_members(
        checks.document(downloads.submitted(target).posted), ("key", "meta"), "the answer"
    )


@FACTS.fact("post.key", Mark.SAMPLE, Need.ORIGIN, "The key has the form of a UUID.")
def _(target: Target) -> None:
    if not re.fullmatch(_UUID, downloads.submitted(target).key):
        raise Broken(f"key is {checks.brief(downloads.submitted(target).key)}")


@FACTS.fact("post.href", Mark.SAMPLE, Need.ORIGIN, "`meta.href` is the path of the download.")
def _(target: Target) -> None:
    download = downloads.submitted(target)
    checks.member_is(checks.document(download.posted), "meta.href", download.path)


@FACTS.fact("post.parent", Mark.SAMPLE, Need.ORIGIN, "`meta.parent` is `/api/firmware` here.")
def _(target: Target) -> None:
    checks.member_is(
        checks.document(downloads.submitted(target).posted), "meta.parent", "/api/firmware"
    )


@FACTS.fact(
    "post.links", Mark.SAMPLE, Need.ORIGIN, "`meta` links to slots, test and upgrade, and no more."
)
def _(target: Target) -> None:
    meta = checks.member(checks.document(downloads.submitted(target).posted), "meta")
    checks.only_members(meta, ("href", "parent", *SIBLINGS), "meta")
    for name, path in SIBLINGS.items():
        checks.member_is(meta, name, path)


@FACTS.fact("post.location", Mark.OURS, Need.ORIGIN, "`Location` is the path of the download.")
def _(target: Target) -> None:
    download = downloads.submitted(target)
    checks.equal(download.posted.headers.get("Location"), download.path, "Location")


_FETCH_BODY = json.dumps({"url": UNCONNECTED, "checksum": {"sha256": WRONG}}).encode()


@FACTS.fact(
    "post.form-label",
    Mark.SAMPLE,
    Need.ORIGIN,
    "The JSON may be labelled `application/x-www-form-urlencoded`, as curl does.",
)
def _(target: Target) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    checks.status(
        downloads.accepted(target, "form", content=_FETCH_BODY, headers=headers).posted, 202
    )


@FACTS.fact("post.charset", Mark.CLIENT, Need.ORIGIN, "The label may name a charset.")
def _(target: Target) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    checks.status(
        downloads.accepted(target, "charset", content=_FETCH_BODY, headers=headers).posted, 202
    )


@FACTS.fact("post.upper-case", Mark.OURS, Need.ORIGIN, "The digest may be in upper case.")
def _(target: Target) -> None:
    body = {"url": UNCONNECTED, "checksum": {"sha256": WRONG.upper()}}
    checks.status(downloads.accepted(target, "upper", json_body=body).posted, 202)


@FACTS.fact(
    "post.twice", Mark.SAMPLE, Need.ORIGIN, "One URL may be asked for twice; the keys differ."
)
def _(target: Target) -> None:
    pair = downloads.running(target)
    checks.success(pair.waiting.posted)
    if pair.hanging.key == pair.waiting.key:
        raise Broken(f"both are {pair.hanging.key}")


@FACTS.fact("list.shape", Mark.SAMPLE, Need.SESSION, "The list has `items` and `meta`.")
def _(target: Target) -> None:
    checks.only_members(target.document(FETCH), ("items", "meta"), "the list")


@FACTS.fact(
    "list.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` links to slots, test and upgrade, and has no link `fetch`.",
)
def _(target: Target) -> None:
    meta = checks.member(target.document(FETCH), "meta")
    checks.equal(meta, {"href": FETCH, "parent": "/api/firmware"} | SIBLINGS, "meta")


@FACTS.fact("list.holds", Mark.DOCUMENTED, Need.ORIGIN, "Every download is in the list.")
def _(target: Target) -> None:
    pair = downloads.running(target)
    for download in (pair.hanging, pair.waiting):
        if not download.item:
            raise Broken(f"{download.key} is not listed")


@FACTS.fact("list.item", Mark.SAMPLE, Need.ORIGIN, "An item has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    checks.only_members(downloads.running(target).hanging.item, ("body", "key", "meta"), "an item")


@FACTS.fact(
    "list.item-meta",
    Mark.SAMPLE,
    Need.ORIGIN,
    "The `meta` of an item has `href` alone until the download is finished.",
)
def _(target: Target) -> None:
    download = downloads.running(target).hanging
    checks.equal(checks.member(download.item, "meta"), {"href": download.path}, "meta of an item")


@FACTS.fact(
    "list.order", Mark.OURS, Need.ORIGIN, "Items stand in the order in which they were asked for."
)
def _(target: Target) -> None:
    pair = downloads.running(target)
    keys = [
        item.get("key") for item in pair.hanging.list_document["items"] if isinstance(item, dict)
    ]
    if keys[-2:] != [pair.hanging.key, pair.waiting.key]:
        raise Broken(f"the list ends with {checks.brief(keys[-2:])}")


@FACTS.fact("get.shape", Mark.SAMPLE, Need.ORIGIN, "A download has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    checks.only_members(download.document, ("body", "key", "meta"), "the download")
    checks.member_is(download.document, "key", download.key)


@FACTS.fact(
    "get.meta",
    Mark.SAMPLE,
    Need.ORIGIN,
    "Its `meta` has its own path and the list as parent, and nothing else until it is finished.",
)
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    meta = checks.member(download.document, "meta")
    checks.equal(meta, {"href": download.path, "parent": FETCH}, "meta")


@FACTS.fact("get.as-listed", Mark.INFERRED, Need.ORIGIN, "It shows the same body as in the list.")
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    checks.equal(download.body, checks.member(download.item, "body"), "body")


@FACTS.fact("body.keys", Mark.SAMPLE, Need.ORIGIN, "The body has its eight members, always all.")
def _(target: Target) -> None:
    pair = downloads.running(target)
    for download in (downloads.mismatched(target), pair.hanging, pair.waiting):
        checks.only_members(download.body, BODY, "body")
        checks.only_members(checks.member(download.item, "body"), BODY, "body in the list")


@FACTS.fact("body.no-checksum", Mark.SAMPLE, Need.ORIGIN, "The checksum is not echoed.")
def _(target: Target) -> None:
    download = downloads.running(target).hanging
    checks.has_members(download.body, ("url",), "body")
    if any(download.sha256 in text for text in checks.strings(download.document)):
        raise Broken(f"it is: {checks.brief(download.body)}")


@FACTS.fact("body.url", Mark.DOCUMENTED, Need.ORIGIN, "`url` is the one that was asked for.")
def _(target: Target) -> None:
    download = downloads.mismatched(target)
    checks.member_is(download.document, "body.url", download.url)


@FACTS.fact("body.bytes", Mark.DOCUMENTED, Need.ORIGIN, "`bytes_*` are numbers, never null.")
def _(target: Target) -> None:
    pair = downloads.running(target)
    for download in (pair.hanging, pair.waiting):
        for name in ("bytes_downloaded", "bytes_total"):
            checks.integer(checks.member(download.body, name), name)


@FACTS.fact(
    "body.start-time",
    Mark.SAMPLE,
    Need.ORIGIN,
    "`start_time` is ISO 8601 with whole seconds and the offset `+00:00`.",
)
def _(target: Target) -> None:
    start_time = checks.string(
        checks.member(downloads.mismatched(target).body, "start_time"), "start_time"
    )
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", start_time):
        raise Broken(f"start_time is {start_time}")


@FACTS.fact(
    "untrusted",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "The certificate of an https origin need not verify; the checksum protects.",
)
def _(target: Target) -> None:
    if not downloads.untrusted_requests(target):
        raise Broken("an origin with a self-signed certificate was never asked for the image")
