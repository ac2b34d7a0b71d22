"""Facts about the form of responses, and the links between them."""

from typing import Any

from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
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
    return checks.array(checks.member(document, "items"), "items")


@FACTS.fact(
    "meta", Mark.DOCUMENTED, Need.SESSION, "Every answer has a `meta` object.", since="6.0.1"
)
def _(target: Target) -> None:
    for path in (*PARENTS, "/api/user_info"):
        checks.mapping(checks.member(target.document(path), "meta"), f"meta of {path}")


@FACTS.fact("href", Mark.SAMPLE, Need.SESSION, "`meta.href` is the path of the resource itself.")
def _(target: Target) -> None:
    for path in (*PARENTS, "/api/user_info"):
        checks.member_is(target.document(path), "meta.href", path)


@FACTS.fact("parent", Mark.SAMPLE, Need.SESSION, "`meta.parent` is the path of what encloses it.")
def _(target: Target) -> None:
    for path, parent in PARENTS.items():
        checks.member_is(target.document(path), "meta.parent", parent)


@FACTS.fact(
    "links", Mark.SAMPLE, Need.SESSION, "Links are absolute paths with neither scheme nor host."
)
def _(target: Target) -> None:
    for path in _LISTS:
        document = target.document(path)
        metas = [
            checks.member(document, "meta"),
            *(checks.member(item, "meta") for item in items(document)),
        ]
        for link in checks.strings(metas):
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
        checks.has_no_members(checks.member(document, "meta"), absent, f"meta of {path}")
        for item in items(document):
            checks.has_no_members(checks.member(item, "meta"), absent, f"meta of an item of {path}")


@FACTS.fact("items", Mark.SAMPLE, Need.SESSION, "Lists hold their members in an array `items`.")
def _(target: Target) -> None:
    for path in _LISTS:
        for item in items(target.document(path)):
            checks.has_members(item, ("key", "meta"), f"an item of {path}")


@FACTS.fact(
    "item-parent", Mark.SAMPLE, Need.SESSION, "The `meta` of a list's item names no parent."
)
def _(target: Target) -> None:
    for path in (FIRMWARE, SLOTS):
        for item in items(target.document(path)):
            checks.has_no_members(
                checks.member(item, "meta"), ("parent",), f"meta of an item of {path}"
            )


@FACTS.fact("root.items", Mark.CLIENT, Need.SESSION, "`/api` lists what there is: key and link.")
def _(target: Target) -> None:
    entries = items(target.document("/api"))
    for item in entries:
        checks.string(checks.member(item, "key"), "key")
        checks.string(checks.member(item, "meta.href"), "meta.href")
    if FIRMWARE not in [item["meta"]["href"] for item in entries]:
        raise Broken(f"nothing leads to {FIRMWARE}: {checks.brief(entries)}")


@FACTS.fact(
    "firmware.items",
    Mark.SAMPLE,
    Need.SESSION,
    "`/api/firmware` lists fetch, slots, test and upgrade, in this order.",
    since="8.0",
)
def _(target: Target) -> None:
    keys = [checks.member(item, "key") for item in items(target.document(FIRMWARE))]
    checks.equal(keys, list(ENDPOINTS), "the keys")


@FACTS.fact(
    "firmware.item",
    Mark.SAMPLE,
    Need.SESSION,
    "Each of them has a key and a link, and no body.",
    since="8.0",
)
def _(target: Target) -> None:
    expected = [{"key": key, "meta": {"href": path}} for key, path in ENDPOINTS.items()]
    checks.equal(items(target.document(FIRMWARE)), expected, "items")


@FACTS.fact(
    "firmware.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` repeats the four links.",
    since="8.0",
)
def _(target: Target) -> None:
    meta = checks.member(target.document(FIRMWARE), "meta")
    checks.equal(meta, {"href": FIRMWARE, "parent": "/api"} | ENDPOINTS, "meta")
