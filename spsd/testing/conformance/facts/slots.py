"""Facts about the slots and the images in them."""

from typing import Any

from spsd.testing.conformance import checks, downloads, installs
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.messages import items
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.target import SLOTS, Reach, Target

SLOT = ("after_reboot", "current", "upgrade_news", "upgrade_notes", "version")
FACTS = Facts(Section.SLOTS, "slots")


def _slot_bodies(target: Target) -> list[dict[str, Any]]:
    return [
        checks.mapping(checks.member(item, "body"), "body")
        for item in items(target.document(SLOTS))
    ]


def _full_bodies(target: Target) -> list[dict[str, Any]]:
    """The bodies of full slots; with `--writes` also of one that the run filled."""
    bodies = [body for body in _slot_bodies(target) if body]
    if target.reach >= Reach.WRITES:
        slot = installs.installed(target).slot
        bodies.append(checks.mapping(checks.member(slot, "body"), "body"))
    if not bodies:
        raise NotTried("no slot holds an image; --writes puts one there")
    return bodies


def _empty_item(target: Target) -> dict[str, Any]:
    for item in items(target.document(SLOTS)):
        if checks.member(item, "body") == {}:
            return checks.mapping(item, "a slot")
    raise NotTried("no slot is empty")


@FACTS.fact("list.shape", Mark.SAMPLE, Need.SESSION, "The list of slots has `items` and `meta`.")
def _(target: Target) -> None:
    checks.only_members(target.document(SLOTS), ("items", "meta"), "the list")


@FACTS.fact(
    "list.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` links to the current slot and the next one, and counts the empty ones.",
)
def _(target: Target) -> None:
    names = ("current_slot", "href", "number_of_empty_slots", "parent", "slot_after_reboot")
    checks.only_members(checks.member(target.document(SLOTS), "meta"), names, "meta")


@FACTS.fact(
    "list.count", Mark.SAMPLE, Need.SESSION, "`number_of_empty_slots` is how many are empty."
)
def _(target: Target) -> None:
    count = checks.member(target.document(SLOTS), "meta.number_of_empty_slots")
    checks.equal(count, sum(not body for body in _slot_bodies(target)), "number_of_empty_slots")


@FACTS.fact("list.keys", Mark.SAMPLE, Need.SESSION, "Slots are numbered from 1; keys are strings.")
def _(target: Target) -> None:
    keys = [checks.member(item, "key") for item in items(target.document(SLOTS))]
    if not keys:
        raise Broken("there are none")
    checks.equal(keys, [str(n) for n in range(1, len(keys) + 1)], "keys")


@FACTS.fact("list.item", Mark.SAMPLE, Need.SESSION, "A slot has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    bodies = items(target.document(SLOTS))
    if not bodies:
        raise Broken("there are none")
    for item in bodies:
        checks.only_members(item, ("body", "key", "meta"), "a slot")
        expected = {"href": f"{SLOTS}/{checks.member(item, 'key')}"}
        checks.equal(checks.member(item, "meta"), expected, "meta of a slot")


@FACTS.fact("list.empty", Mark.SAMPLE, Need.SESSION, "An empty slot is listed with the body `{}`.")
def _(target: Target) -> None:
    meta = checks.member(target.document(SLOTS), "meta")
    if checks.member(meta, "number_of_empty_slots") == 0:
        raise NotTried("no slot is empty")
    if all(_slot_bodies(target)):
        raise Broken("no slot has that body")


@FACTS.fact("list.current", Mark.SAMPLE, Need.SESSION, "`current_slot` links to the one that runs.")
def _(target: Target) -> None:
    _check_link(target, "current_slot", "current")


@FACTS.fact(
    "list.next", Mark.SAMPLE, Need.SESSION, "`slot_after_reboot` links to the one that will run."
)
def _(target: Target) -> None:
    _check_link(target, "slot_after_reboot", "after_reboot")


def _check_link(target: Target, name: str, flag: str) -> None:
    link = checks.member(target.document(SLOTS), f"meta.{name}")
    marked = [
        checks.member(item, "meta.href")
        for item in items(target.document(SLOTS))
        if checks.member(item, "body").get(flag) is True
    ]
    if link is None and not marked:
        raise NotTried(f"{name} is null: the server knows of none")
    checks.equal(marked, [link], f"the slots with {flag}")


@FACTS.fact("body.keys", Mark.SAMPLE, Need.SESSION, "A filled slot shows five members.")
def _(target: Target) -> None:
    for body in _full_bodies(target):
        checks.only_members(body, SLOT, "body")


@FACTS.fact(
    "body.flags", Mark.DOCUMENTED, Need.SESSION, "`current` and `after_reboot` are booleans."
)
def _(target: Target) -> None:
    for body in _full_bodies(target):
        for name in ("current", "after_reboot"):
            if not isinstance(checks.member(body, name), bool):
                raise Broken(f"{name} is {checks.brief(body[name])}")


@FACTS.fact("body.news", Mark.DOCUMENTED, Need.SESSION, "`upgrade_news` is a string, or null.")
def _(target: Target) -> None:
    for body in _full_bodies(target):
        if checks.member(body, "upgrade_news") is not None:
            checks.string(body["upgrade_news"], "upgrade_news")


@FACTS.fact("body.texts", Mark.SAMPLE, Need.SESSION, "`version` and `upgrade_notes` are strings.")
def _(target: Target) -> None:
    for body in _full_bodies(target):
        for name in ("version", "upgrade_notes"):
            checks.string(checks.member(body, name), name)


@FACTS.fact("get", Mark.SAMPLE, Need.SESSION, "A slot by itself shows what the list shows.")
def _(target: Target) -> None:
    item = (items(target.document(SLOTS)) or [{}])[0]
    alone = target.document(checks.string(checks.member(item, "meta.href"), "meta.href"))
    checks.only_members(alone, ("body", "key", "meta"), "the slot")
    for name in ("body", "key"):
        checks.equal(alone[name], checks.member(item, name), name)


@FACTS.fact("get.meta", Mark.INFERRED, Need.SESSION, "Its `meta` has `href` and `parent`.")
def _(target: Target) -> None:
    href = f"{SLOTS}/1"
    meta = checks.member(target.document(href), "meta")
    checks.equal(meta, {"href": href, "parent": SLOTS}, "meta")


@FACTS.fact("get.empty", Mark.OURS, Need.SESSION, "An empty slot by itself: 200, the body `{}`.")
def _(target: Target) -> None:
    href = checks.string(checks.member(_empty_item(target), "meta.href"), "meta.href")
    checks.member_is(target.document(href), "body", {})


@FACTS.fact("get.unknown", Mark.OURS, Need.SESSION, "What is no slot: 404 `ResourceNotFound`.")
def _(target: Target) -> None:
    answer = target.get_once(f"{SLOTS}/999999")
    checks.status(answer, 404)
    checks.error_is(answer, "ResourceNotFound")


@FACTS.fact(
    "no-write",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "Nothing is posted or put to a slot: it is filled by fetch or upload.",
)
def _(target: Target) -> None:
    for method, path in (("POST", SLOTS), ("PUT", f"{SLOTS}/999999"), ("POST", f"{SLOTS}/999999")):
        checks.refused(target.call(method, path, json_body={}))


@FACTS.fact("delete", Mark.DOCUMENTED, Need.WRITES, "DELETE empties a slot.")
def _(target: Target) -> None:
    install = installs.installed(target)
    checks.success(install.slot_delete)
    key = str(checks.member(install.download.body, "slot_id"))
    if checks.member(slot_item(install.slots, key), "body") == {}:
        raise Broken(f"slot {key} was never filled")
    checks.equal(checks.member(slot_item(install.slots_after, key), "body"), {}, "body afterwards")


@FACTS.fact(
    "delete.count", Mark.SAMPLE, Need.WRITES, "The count of empty slots follows, down and up."
)
def _(target: Target) -> None:
    install = installs.installed(target)
    path = "meta.number_of_empty_slots"
    free = checks.integer(checks.member(install.slots_before, path), path)
    checks.member_is(install.slots, path, free - 1)
    checks.member_is(install.slots_after, path, free)


@FACTS.fact("delete.answer", Mark.OURS, Need.WRITES, "It is answered 200 with only `meta`.")
def _(target: Target) -> None:
    install = installs.installed(target)
    checks.status(install.slot_delete, 200)
    href = f"{SLOTS}/{checks.member(install.download.body, 'slot_id')}"
    expected = {"meta": {"href": href, "parent": SLOTS}}
    checks.equal(checks.document(install.slot_delete), expected, "the answer")


@FACTS.fact("delete.empty", Mark.OURS, Need.WRITES, "DELETE of an empty slot: 404.")
def _(target: Target) -> None:
    checks.status(installs.installed(target).second_slot_delete, 404)


@FACTS.fact(
    "failed-takes-none",
    Mark.INFERRED,
    Need.ORIGIN,
    "A download whose checksum differs takes up no slot.",
)
def _(target: Target) -> None:
    before, after = downloads.mismatched(target).slots
    checks.member(before, "meta.number_of_empty_slots")
    checks.equal(checks.member(after, "items"), checks.member(before, "items"), "slots")
