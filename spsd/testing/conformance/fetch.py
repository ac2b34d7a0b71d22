"""Asking for a download, and the documents that show it."""

import json
import re

from spsd.testing.conformance import downloads, reading
from spsd.testing.conformance.downloads import UNCONNECTED, WRONG
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.messages import SIBLINGS
from spsd.testing.conformance.reading import Broken
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
    reading.status(downloads.posted(target).posted, 202)


@FACTS.fact(
    "post.shape", Mark.SAMPLE, Need.ORIGIN, "The answer has `key` and `meta`, and no `body`."
)
def _(target: Target) -> None:
    reading.exactly(
        reading.document(downloads.posted(target).posted), ("key", "meta"), "the answer"
    )


@FACTS.fact("post.key", Mark.SAMPLE, Need.ORIGIN, "The key has the form of a UUID.")
def _(target: Target) -> None:
    if not re.fullmatch(_UUID, downloads.posted(target).key):
        raise Broken(f"key is {reading.shown(downloads.posted(target).key)}")


@FACTS.fact("post.href", Mark.SAMPLE, Need.ORIGIN, "`meta.href` is the path of the download.")
def _(target: Target) -> None:
    course = downloads.posted(target)
    reading.is_at(reading.document(course.posted), "meta.href", course.path)


@FACTS.fact("post.parent", Mark.SAMPLE, Need.ORIGIN, "`meta.parent` is `/api/firmware` here.")
def _(target: Target) -> None:
    reading.is_at(reading.document(downloads.posted(target).posted), "meta.parent", "/api/firmware")


@FACTS.fact(
    "post.links", Mark.SAMPLE, Need.ORIGIN, "`meta` links to slots, test and upgrade, and no more."
)
def _(target: Target) -> None:
    meta = reading.at(reading.document(downloads.posted(target).posted), "meta")
    reading.exactly(meta, ("href", "parent", *SIBLINGS), "meta")
    for name, path in SIBLINGS.items():
        reading.is_at(meta, name, path)


@FACTS.fact("post.location", Mark.OURS, Need.ORIGIN, "`Location` is the path of the download.")
def _(target: Target) -> None:
    course = downloads.posted(target)
    reading.equal(course.posted.headers.get("Location"), course.path, "Location")


_ASKED = json.dumps({"url": UNCONNECTED, "checksum": {"sha256": WRONG}}).encode()


@FACTS.fact(
    "post.form-label",
    Mark.SAMPLE,
    Need.ORIGIN,
    "The JSON may be labelled `application/x-www-form-urlencoded`, as curl does.",
)
def _(target: Target) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    reading.status(downloads.accepted(target, "form", content=_ASKED, headers=kind).posted, 202)


@FACTS.fact("post.charset", Mark.CLIENT, Need.ORIGIN, "The label may name a charset.")
def _(target: Target) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    reading.status(downloads.accepted(target, "charset", content=_ASKED, headers=kind).posted, 202)


@FACTS.fact("post.upper-case", Mark.OURS, Need.ORIGIN, "The digest may be in upper case.")
def _(target: Target) -> None:
    body = {"url": UNCONNECTED, "checksum": {"sha256": WRONG.upper()}}
    reading.status(downloads.accepted(target, "upper", json_body=body).posted, 202)


@FACTS.fact(
    "post.twice", Mark.SAMPLE, Need.ORIGIN, "One URL may be asked for twice; the keys differ."
)
def _(target: Target) -> None:
    both = downloads.running(target)
    reading.succeeded(both.waiting.posted)
    if both.held.key == both.waiting.key:
        raise Broken(f"both are {both.held.key}")


@FACTS.fact("list.shape", Mark.SAMPLE, Need.SESSION, "The list has `items` and `meta`.")
def _(target: Target) -> None:
    reading.exactly(target.document(FETCH), ("items", "meta"), "the list")


@FACTS.fact(
    "list.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` links to slots, test and upgrade, and has no link `fetch`.",
)
def _(target: Target) -> None:
    meta = reading.at(target.document(FETCH), "meta")
    reading.equal(meta, {"href": FETCH, "parent": "/api/firmware"} | SIBLINGS, "meta")


@FACTS.fact("list.holds", Mark.DOCUMENTED, Need.ORIGIN, "Every download is in the list.")
def _(target: Target) -> None:
    both = downloads.running(target)
    for course in (both.held, both.waiting):
        if not course.listed:
            raise Broken(f"{course.key} is not listed")


@FACTS.fact("list.item", Mark.SAMPLE, Need.ORIGIN, "An item has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    reading.exactly(downloads.running(target).held.listed, ("body", "key", "meta"), "an item")


@FACTS.fact(
    "list.item-meta",
    Mark.SAMPLE,
    Need.ORIGIN,
    "The `meta` of an item has `href` alone until the download is finished.",
)
def _(target: Target) -> None:
    course = downloads.running(target).held
    reading.equal(reading.at(course.listed, "meta"), {"href": course.path}, "meta of an item")


@FACTS.fact(
    "list.order", Mark.OURS, Need.ORIGIN, "Items stand in the order in which they were asked for."
)
def _(target: Target) -> None:
    both = downloads.running(target)
    keys = [one.get("key") for one in both.held.listing["items"] if isinstance(one, dict)]
    if keys[-2:] != [both.held.key, both.waiting.key]:
        raise Broken(f"the list ends with {reading.shown(keys[-2:])}")


@FACTS.fact("get.shape", Mark.SAMPLE, Need.ORIGIN, "A download has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    reading.exactly(course.alone, ("body", "key", "meta"), "the download")
    reading.is_at(course.alone, "key", course.key)


@FACTS.fact(
    "get.meta",
    Mark.SAMPLE,
    Need.ORIGIN,
    "Its `meta` has its own path and the list as parent, and nothing else until it is finished.",
)
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    meta = reading.at(course.alone, "meta")
    reading.equal(meta, {"href": course.path, "parent": FETCH}, "meta")


@FACTS.fact("get.as-listed", Mark.INFERRED, Need.ORIGIN, "It shows the same body as in the list.")
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    reading.equal(course.body, reading.at(course.listed, "body"), "body")


@FACTS.fact("body.keys", Mark.SAMPLE, Need.ORIGIN, "The body has its eight members, always all.")
def _(target: Target) -> None:
    both = downloads.running(target)
    for course in (downloads.mismatched(target), both.held, both.waiting):
        reading.exactly(course.body, BODY, "body")
        reading.exactly(reading.at(course.listed, "body"), BODY, "body in the list")


@FACTS.fact("body.no-checksum", Mark.SAMPLE, Need.ORIGIN, "The checksum is not echoed.")
def _(target: Target) -> None:
    course = downloads.running(target).held
    reading.having(course.body, ("url",), "body")
    if any(course.sha256 in one for one in reading.strings(course.alone)):
        raise Broken(f"it is: {reading.shown(course.body)}")


@FACTS.fact("body.url", Mark.DOCUMENTED, Need.ORIGIN, "`url` is the one that was asked for.")
def _(target: Target) -> None:
    course = downloads.mismatched(target)
    reading.is_at(course.alone, "body.url", course.url)


@FACTS.fact("body.bytes", Mark.DOCUMENTED, Need.ORIGIN, "`bytes_*` are numbers, never null.")
def _(target: Target) -> None:
    both = downloads.running(target)
    for course in (both.held, both.waiting):
        for name in ("bytes_downloaded", "bytes_total"):
            reading.whole(reading.at(course.body, name), name)


@FACTS.fact(
    "body.start-time",
    Mark.SAMPLE,
    Need.ORIGIN,
    "`start_time` is ISO 8601 with whole seconds and the offset `+00:00`.",
)
def _(target: Target) -> None:
    told = reading.text(reading.at(downloads.mismatched(target).body, "start_time"), "start_time")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", told):
        raise Broken(f"start_time is {told}")


@FACTS.fact(
    "untrusted",
    Mark.DOCUMENTED,
    Need.ORIGIN,
    "The certificate of an https origin need not verify; the checksum protects.",
)
def _(target: Target) -> None:
    if not downloads.distrusted(target):
        raise Broken("an origin with a self-signed certificate was never asked for the image")
