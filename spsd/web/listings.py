"""``/api`` and ``/api/firmware``: where everything else is found by following links."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from spsd.web import paths
from spsd.web.answers import Shape, answer
from spsd.web.contract import Access, Answer, Operation
from spsd.web.links import FirmwareMeta, PlainMeta, RootMeta

# Four items in alphabetical order, their links repeated in meta. [seen in sample] 8.0.
_FIRMWARE_LINKS = {
    "fetch": paths.FETCH,
    "slots": paths.SLOTS,
    "test": paths.TEST,
    "upgrade": paths.UPGRADE,
}
# That a listing exists is [documented]; what it lists is [unknown - our choice].
_ROOT_LINKS = {
    "authentication": paths.LOG_IN,
    "firmware": paths.FIRMWARE,
    "health_status": paths.HEALTH,
    "info": paths.INFO,
    "user_info": paths.USER_INFO,
}


class LinkItem(Shape):
    """A link to follow."""

    key: str
    meta: PlainMeta


class RootListing(Shape):
    """The entry point."""

    items: list[LinkItem]
    meta: RootMeta


class FirmwareListing(Shape):
    """The firmware part."""

    items: list[LinkItem]
    meta: FirmwareMeta


async def root(_: web.Request) -> web.Response:
    """The entry point."""
    return answer(RootListing(_items(_ROOT_LINKS), RootMeta(paths.ROOT)))


async def firmware(_: web.Request) -> web.Response:
    """The firmware part."""
    meta = FirmwareMeta(href=paths.FIRMWARE, parent=paths.ROOT)
    return answer(FirmwareListing(_items(_FIRMWARE_LINKS), meta))


def _items(links: Mapping[str, str]) -> list[LinkItem]:
    return [LinkItem(key, PlainMeta(href)) for key, href in links.items()]


_TAG = "Listings"

OPERATIONS = (
    Operation(
        name="listRoot",
        method=hdrs.METH_GET,
        path=paths.ROOT,
        handler=root,
        tag=_TAG,
        summary="Find the parts of the API",
        notes="`/api//` answers the same: a public client calls it so.",
        access=Access.VIEWER,
        answer=Answer(RootListing, meaning="Links to follow."),
    ),
    Operation(
        name="listFirmware",
        method=hdrs.METH_GET,
        path=paths.FIRMWARE,
        handler=firmware,
        tag=_TAG,
        summary="Find the firmware resources",
        access=Access.VIEWER,
        answer=Answer(FirmwareListing, meaning="Links to follow."),
    ),
)
