"""``/api`` and ``/api/firmware``: where everything else is found by following links."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from spsd.web import links
from spsd.web.contract import Access, Operation, SuccessResponse
from spsd.web.links import FirmwareMeta, PlainMeta, RootMeta
from spsd.web.responses import Shape, respond

# Four items in alphabetical order, their links repeated in meta. [seen in sample] 8.0.
_FIRMWARE_LINKS = {
    "fetch": links.FETCH,
    "slots": links.SLOTS,
    "test": links.TEST,
    "upgrade": links.UPGRADE,
}
# That a listing exists is [documented]; what it lists is [unknown - our choice].
_ROOT_LINKS = {
    "authentication": links.LOG_IN,
    "firmware": links.FIRMWARE,
    "health_status": links.HEALTH,
    "info": links.INFO,
    "user_info": links.USER_INFO,
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
    return respond(RootListing(_items(_ROOT_LINKS), RootMeta(links.ROOT)))


async def firmware(_: web.Request) -> web.Response:
    """The firmware part."""
    meta = FirmwareMeta(href=links.FIRMWARE, parent=links.ROOT)
    return respond(FirmwareListing(_items(_FIRMWARE_LINKS), meta))


def _items(links: Mapping[str, str]) -> list[LinkItem]:
    return [LinkItem(key, PlainMeta(href)) for key, href in links.items()]


_TAG = "Listings"
OPERATIONS = (
    Operation(
        name="listRoot",
        method=hdrs.METH_GET,
        path=links.ROOT,
        handler=root,
        tag=_TAG,
        summary="Find the parts of the API",
        notes="`/api//` answers the same: a public client calls it so.",
        access=Access.VIEWER,
        answer=SuccessResponse(RootListing, meaning="Links to follow."),
    ),
    Operation(
        name="listFirmware",
        method=hdrs.METH_GET,
        path=links.FIRMWARE,
        handler=firmware,
        tag=_TAG,
        summary="Find the firmware resources",
        access=Access.VIEWER,
        answer=SuccessResponse(FirmwareListing, meaning="Links to follow."),
    ),
)
