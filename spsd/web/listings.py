"""``/api`` and ``/api/firmware``: where everything else is found by following links."""

from aiohttp import web

from spsd.web.answers import answer
from spsd.web.codec import FETCH, SIBLINGS

ROOT = "/api"
FIRMWARE = "/api/firmware"

# Four items in alphabetical order, their links repeated in meta. [seen in sample] 8.0.
_FIRMWARE_LINKS = {"fetch": FETCH} | SIBLINGS
# That a listing exists is [documented]; what it lists is [unknown - our choice].
_ROOT_LINKS = {"authentication": "/api/authentication", "firmware": FIRMWARE}


async def root(_: web.Request) -> web.Response:
    """The entry point."""
    return answer({"items": _items(_ROOT_LINKS), "meta": {"href": ROOT, "parent": None}})


async def firmware(_: web.Request) -> web.Response:
    """The firmware part."""
    meta = {"href": FIRMWARE, "parent": ROOT} | _FIRMWARE_LINKS
    return answer({"items": _items(_FIRMWARE_LINKS), "meta": meta})


def _items(links: dict[str, str]) -> list[dict[str, object]]:
    return [{"key": key, "meta": {"href": href}} for key, href in links.items()]
