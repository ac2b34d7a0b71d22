"""``/api/firmware/slots``: look, and take an image out."""

from collections.abc import Container
from typing import assert_never

from aiohttp import web

from spsd.domain.errors import ResourceNotFoundError
from spsd.domain.slot import BrokenSlot, InstalledImage, SlotContent
from spsd.services.slots import Slots
from spsd.web.answers import answer

PATH = "/api/firmware/slots"
SLOTS = web.AppKey("slots", Slots)


async def list_all(request: web.Request) -> web.Response:
    """Every slot, empty ones too. [seen in sample]."""
    slots = request.app[SLOTS]
    held, after = await slots.list(), await slots.after_reboot()
    items = [
        {"body": _body(slots, after, n, content), "key": str(n), "meta": {"href": f"{PATH}/{n}"}}
        for n, content in held.items()
    ]
    meta = {
        "current_slot": _link(slots.current, held),
        "href": PATH,
        "number_of_empty_slots": sum(content is None for content in held.values()),
        "parent": "/api/firmware",
        "slot_after_reboot": _link(after, held),
    }
    return answer({"items": items, "meta": meta})


async def get(request: web.Request) -> web.Response:
    """One slot; an empty one has an empty body. [unknown - our choice], like the list."""
    slots, number = request.app[SLOTS], _number(request)
    content = await slots.get(number)
    body = _body(slots, await slots.after_reboot(), number, content)
    meta = {"href": f"{PATH}/{number}", "parent": PATH}
    return answer({"body": body, "key": str(number), "meta": meta})


async def delete(request: web.Request) -> web.Response:
    """Take the image out."""
    number = _number(request)
    await request.app[SLOTS].empty(number)
    return answer({"meta": {"href": f"{PATH}/{number}", "parent": PATH}})


def _number(request: web.Request) -> int:
    text = request.match_info["slot"]
    if not (text.isascii() and text.isdecimal() and len(text) < 5) or text.startswith("0"):
        raise ResourceNotFoundError(f"Slots have numbers from 1, not {text!r}.")
    return int(text)


def _link(slot: int | None, held: Container[int]) -> str | None:
    return f"{PATH}/{slot}" if slot is not None and slot in held else None


def _body(slots: Slots, after: int | None, number: int, content: SlotContent) -> dict[str, object]:
    match content:
        case None:
            return {}
        case BrokenSlot():
            news, notes, version = None, content.reason, "unreadable"
        case InstalledImage(info=info):
            news, notes, version = info.upgrade_news, info.upgrade_notes, info.version
        case _:
            assert_never(content)
    return {
        "after_reboot": number == after,
        "current": number == slots.current,
        "upgrade_news": news,
        "upgrade_notes": notes,
        "version": version,
    }
