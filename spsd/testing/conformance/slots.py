"""The slots, and what is in them."""

from typing import Any

from spsd.testing.conformance import downloads, installs, reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.installs import slot_item
from spsd.testing.conformance.messages import items
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import SLOTS, Reach, Target

SLOT = ("after_reboot", "current", "upgrade_news", "upgrade_notes", "version")
FACTS = Facts(Section.SLOTS, "slots")


def _bodies(target: Target) -> list[dict[str, Any]]:
    return [
        reading.mapping(reading.at(item, "body"), "body") for item in items(target.document(SLOTS))
    ]


def _filled(target: Target) -> list[dict[str, Any]]:
    """What filled slots show; the run fills one, if it may."""
    found = [body for body in _bodies(target) if body]
    if target.reach >= Reach.WRITES:
        slot = installs.installed(target).slot
        found.append(reading.mapping(reading.at(slot, "body"), "body"))
    if not found:
        raise NotTried("no slot holds an image; --writes puts one there")
    return found


def _one_empty(target: Target) -> dict[str, Any]:
    for item in items(target.document(SLOTS)):
        if reading.at(item, "body") == {}:
            return reading.mapping(item, "a slot")
    raise NotTried("no slot is empty")


@FACTS.fact("list.shape", Mark.SAMPLE, Need.SESSION, "The list of slots has `items` and `meta`.")
def _(target: Target) -> None:
    reading.exactly(target.document(SLOTS), ("items", "meta"), "the list")


@FACTS.fact(
    "list.meta",
    Mark.SAMPLE,
    Need.SESSION,
    "Its `meta` links to the current slot and the next one, and counts the empty ones.",
)
def _(target: Target) -> None:
    names = ("current_slot", "href", "number_of_empty_slots", "parent", "slot_after_reboot")
    reading.exactly(reading.at(target.document(SLOTS), "meta"), names, "meta")


@FACTS.fact(
    "list.count", Mark.SAMPLE, Need.SESSION, "`number_of_empty_slots` is how many are empty."
)
def _(target: Target) -> None:
    told = reading.at(target.document(SLOTS), "meta.number_of_empty_slots")
    reading.equal(told, sum(not body for body in _bodies(target)), "number_of_empty_slots")


@FACTS.fact("list.keys", Mark.SAMPLE, Need.SESSION, "Slots are numbered from 1; keys are strings.")
def _(target: Target) -> None:
    keys = [reading.at(item, "key") for item in items(target.document(SLOTS))]
    if not keys:
        raise Broken("there are none")
    reading.equal(keys, [str(n) for n in range(1, len(keys) + 1)], "keys")


@FACTS.fact("list.item", Mark.SAMPLE, Need.SESSION, "A slot has `body`, `key` and `meta`.")
def _(target: Target) -> None:
    found = items(target.document(SLOTS))
    if not found:
        raise Broken("there are none")
    for item in found:
        reading.exactly(item, ("body", "key", "meta"), "a slot")
        wanted = {"href": f"{SLOTS}/{reading.at(item, 'key')}"}
        reading.equal(reading.at(item, "meta"), wanted, "meta of a slot")


@FACTS.fact("list.empty", Mark.SAMPLE, Need.SESSION, "An empty slot is listed with the body `{}`.")
def _(target: Target) -> None:
    meta = reading.at(target.document(SLOTS), "meta")
    if reading.at(meta, "number_of_empty_slots") == 0:
        raise NotTried("no slot is empty")
    if all(_bodies(target)):
        raise Broken("no slot has that body")


@FACTS.fact("list.current", Mark.SAMPLE, Need.SESSION, "`current_slot` links to the one that runs.")
def _(target: Target) -> None:
    _linked(target, "current_slot", "current")


@FACTS.fact(
    "list.next", Mark.SAMPLE, Need.SESSION, "`slot_after_reboot` links to the one that will run."
)
def _(target: Target) -> None:
    _linked(target, "slot_after_reboot", "after_reboot")


def _linked(target: Target, name: str, flag: str) -> None:
    link = reading.at(target.document(SLOTS), f"meta.{name}")
    marked = [
        reading.at(item, "meta.href")
        for item in items(target.document(SLOTS))
        if reading.at(item, "body").get(flag) is True
    ]
    if link is None and not marked:
        raise NotTried(f"{name} is null: the server knows of none")
    reading.equal(marked, [link], f"the slots with {flag}")


@FACTS.fact("body.keys", Mark.SAMPLE, Need.SESSION, "A filled slot shows five members.")
def _(target: Target) -> None:
    for body in _filled(target):
        reading.exactly(body, SLOT, "body")


@FACTS.fact(
    "body.flags", Mark.DOCUMENTED, Need.SESSION, "`current` and `after_reboot` are booleans."
)
def _(target: Target) -> None:
    for body in _filled(target):
        for name in ("current", "after_reboot"):
            if not isinstance(reading.at(body, name), bool):
                raise Broken(f"{name} is {reading.shown(body[name])}")


@FACTS.fact("body.news", Mark.DOCUMENTED, Need.SESSION, "`upgrade_news` is a string, or null.")
def _(target: Target) -> None:
    for body in _filled(target):
        if reading.at(body, "upgrade_news") is not None:
            reading.text(body["upgrade_news"], "upgrade_news")


@FACTS.fact("body.texts", Mark.SAMPLE, Need.SESSION, "`version` and `upgrade_notes` are strings.")
def _(target: Target) -> None:
    for body in _filled(target):
        for name in ("version", "upgrade_notes"):
            reading.text(reading.at(body, name), name)


@FACTS.fact("get", Mark.SAMPLE, Need.SESSION, "A slot by itself shows what the list shows.")
def _(target: Target) -> None:
    item = (items(target.document(SLOTS)) or [{}])[0]
    alone = target.document(reading.text(reading.at(item, "meta.href"), "meta.href"))
    reading.exactly(alone, ("body", "key", "meta"), "the slot")
    for name in ("body", "key"):
        reading.equal(alone[name], reading.at(item, name), name)


@FACTS.fact("get.meta", Mark.INFERRED, Need.SESSION, "Its `meta` has `href` and `parent`.")
def _(target: Target) -> None:
    href = f"{SLOTS}/1"
    meta = reading.at(target.document(href), "meta")
    reading.equal(meta, {"href": href, "parent": SLOTS}, "meta")


@FACTS.fact("get.empty", Mark.OURS, Need.SESSION, "An empty slot by itself: 200, the body `{}`.")
def _(target: Target) -> None:
    href = reading.text(reading.at(_one_empty(target), "meta.href"), "meta.href")
    reading.is_at(target.document(href), "body", {})


@FACTS.fact("get.unknown", Mark.OURS, Need.SESSION, "What is no slot: 404 `ResourceNotFound`.")
def _(target: Target) -> None:
    answer = target.page(f"{SLOTS}/999999")
    reading.status(answer, 404)
    reading.is_error(answer, "ResourceNotFound")


@FACTS.fact(
    "no-write",
    Mark.DOCUMENTED,
    Need.REQUESTS,
    "Nothing is posted or put to a slot: it is filled by fetch or upload.",
)
def _(target: Target) -> None:
    for method, path in (("POST", SLOTS), ("PUT", f"{SLOTS}/999999"), ("POST", f"{SLOTS}/999999")):
        reading.refused(target.call(method, path, json_body={}))


@FACTS.fact("delete", Mark.DOCUMENTED, Need.WRITES, "DELETE empties a slot.")
def _(target: Target) -> None:
    done = installs.installed(target)
    reading.succeeded(done.emptied)
    key = str(reading.at(done.course.body, "slot_id"))
    if reading.at(slot_item(done.slots, key), "body") == {}:
        raise Broken(f"slot {key} was never filled")
    reading.equal(reading.at(slot_item(done.slots_after, key), "body"), {}, "body afterwards")


@FACTS.fact(
    "delete.count", Mark.SAMPLE, Need.WRITES, "The count of empty slots follows, down and up."
)
def _(target: Target) -> None:
    done = installs.installed(target)
    path = "meta.number_of_empty_slots"
    free = reading.whole(reading.at(done.slots_before, path), path)
    reading.is_at(done.slots, path, free - 1)
    reading.is_at(done.slots_after, path, free)


@FACTS.fact("delete.answer", Mark.OURS, Need.WRITES, "It is answered 200 with only `meta`.")
def _(target: Target) -> None:
    done = installs.installed(target)
    reading.status(done.emptied, 200)
    href = f"{SLOTS}/{reading.at(done.course.body, 'slot_id')}"
    wanted = {"meta": {"href": href, "parent": SLOTS}}
    reading.equal(reading.document(done.emptied), wanted, "the answer")


@FACTS.fact("delete.empty", Mark.OURS, Need.WRITES, "DELETE of an empty slot: 404.")
def _(target: Target) -> None:
    reading.status(installs.installed(target).empty_again, 404)


@FACTS.fact(
    "failed-takes-none",
    Mark.INFERRED,
    Need.ORIGIN,
    "A download whose checksum differs takes up no slot.",
)
def _(target: Target) -> None:
    before, after = downloads.mismatched(target).slots
    reading.at(before, "meta.number_of_empty_slots")
    reading.equal(reading.at(after, "items"), reading.at(before, "items"), "slots")
