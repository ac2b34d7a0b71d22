"""The form of answers, and the links between them."""

from typing import Any

from spsd.testing.conformance import reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.reading import Broken
from spsd.testing.conformance.target import FETCH, SLOTS, Target

FIRMWARE = "/api/firmware"
TEST, UPGRADE = "/api/firmware/test", "/api/firmware/upgrade"
PARENTS = {FIRMWARE: "/api", FETCH: FIRMWARE, SLOTS: FIRMWARE, "/api/info": "/api"}
ENDPOINTS = {"fetch": FETCH, "slots": SLOTS, "test": TEST, "upgrade": UPGRADE}
SIBLINGS = {name: path for name, path in ENDPOINTS.items() if name != "fetch"}
_LISTS = (FIRMWARE, FETCH, SLOTS)
FACTS = Facts(Section.MESSAGES, "messages")


def items(document: dict[str, Any]) -> list[Any]:
    """The items of a list."""
    return reading.array(reading.at(document, "items"), "items")


@FACTS.fact(
    "meta", Mark.DOCUMENTED, Need.SESSION, "Every answer has a `meta` object.", since="6.0.1"
)
def _(target: Target) -> None:
    for path in (*PARENTS, "/api/user_info"):
        reading.mapping(reading.at(target.document(path), "meta"), f"meta of {path}")


@FACTS.fact("href", Mark.SAMPLE, Need.SESSION, "`meta.href` is the path of the resource itself.")
def _(target: Target) -> None:
    for path in (*PARENTS, "/api/user_info"):
        reading.is_at(target.document(path), "meta.href", path)


@FACTS.fact("parent", Mark.SAMPLE, Need.SESSION, "`meta.parent` is the path of what encloses it.")
def _(target: Target) -> None:
    for path, parent in PARENTS.items():
        reading.is_at(target.document(path), "meta.parent", parent)


@FACTS.fact(
    "links", Mark.SAMPLE, Need.SESSION, "Links are absolute paths with neither scheme nor host."
)
def _(target: Target) -> None:
    for path in _LISTS:
        document = target.document(path)
        metas = [
            reading.at(document, "meta"),
            *(reading.at(one, "meta") for one in items(document)),
        ]
        for link in reading.strings(metas):
            if not link.startswith("/api") or "//" in link:
                raise Broken(f"{path} links to {link}")


@FACTS.fact(
    "no-paging",
    Mark.SAMPLE,
    Need.SESSION,
    "The firmware resources have no links for paging or transactions, and no time left.",
)
def _(target: Target) -> None:
    absent = ("first", "last", "next", "previous", "transaction", "remaining_seconds")
    for path in _LISTS:
        document = target.document(path)
        reading.without(reading.at(document, "meta"), absent, f"meta of {path}")
        for item in items(document):
            reading.without(reading.at(item, "meta"), absent, f"meta of an item of {path}")


@FACTS.fact("items", Mark.SAMPLE, Need.SESSION, "Lists hold their members in an array `items`.")
def _(target: Target) -> None:
    for path in _LISTS:
        for item in items(target.document(path)):
            reading.having(item, ("key", "meta"), f"an item of {path}")


@FACTS.fact(
    "item-parent", Mark.SAMPLE, Need.SESSION, "The `meta` of a list's item names no parent."
)
def _(target: Target) -> None:
    for path in (FIRMWARE, SLOTS):
        for item in items(target.document(path)):
            reading.without(reading.at(item, "meta"), ("parent",), f"meta of an item of {path}")


@FACTS.fact("root.items", Mark.CLIENT, Need.SESSION, "`/api` lists what there is: key and link.")
def _(target: Target) -> None:
    found = items(target.document("/api"))
    for item in found:
        reading.text(reading.at(item, "key"), "key")
        reading.text(reading.at(item, "meta.href"), "meta.href")
    if FIRMWARE not in [item["meta"]["href"] for item in found]:
        raise Broken(f"nothing leads to {FIRMWARE}: {reading.shown(found)}")


@FACTS.fact(
    "firmware.items",
    Mark.SAMPLE,
    Need.SESSION,
    "`/api/firmware` lists fetch, slots, test and upgrade, in this order.",
    since="8.0",
)
def _(target: Target) -> None:
    keys = [reading.at(item, "key") for item in items(target.document(FIRMWARE))]
    reading.equal(keys, list(ENDPOINTS), "the keys")


@FACTS.fact(
    "firmware.item",
    Mark.SAMPLE,
    Need.SESSION,
    "Each of them has a key and a link, and no body.",
    since="8.0",
)
def _(target: Target) -> None:
    wanted = [{"key": key, "meta": {"href": path}} for key, path in ENDPOINTS.items()]
    reading.equal(items(target.document(FIRMWARE)), wanted, "items")


@FACTS.fact(
    "firmware.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` repeats the four links.",
    since="8.0",
)
def _(target: Target) -> None:
    meta = reading.at(target.document(FIRMWARE), "meta")
    reading.equal(meta, {"href": FIRMWARE, "parent": "/api"} | ENDPOINTS, "meta")
