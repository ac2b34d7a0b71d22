"""``/api`` and ``/api/firmware``: listings of links to all other resources."""

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
    """A link to a resource."""

    key: str
    meta: PlainMeta


class RootListing(Shape):
    """The listing of the entry point."""

    items: list[LinkItem]
    meta: RootMeta


class FirmwareListing(Shape):
    """The listing of the firmware resources."""

    items: list[LinkItem]
    meta: FirmwareMeta


async def root(_: web.Request) -> web.Response:
    """The listing of the entry point."""
    return respond(RootListing(_items(_ROOT_LINKS), RootMeta(links.ROOT)))


async def firmware(_: web.Request) -> web.Response:
    """The listing of the firmware resources."""
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
        summary="List the parts of the API",
        notes="`/api//` has the same response, because a public client uses it.",
        access=Access.VIEWER,
        success=SuccessResponse(RootListing, meaning="A link to each part."),
    ),
    Operation(
        name="listFirmware",
        method=hdrs.METH_GET,
        path=links.FIRMWARE,
        handler=firmware,
        tag=_TAG,
        summary="List the firmware resources",
        access=Access.VIEWER,
        success=SuccessResponse(FirmwareListing, meaning="A link to each resource."),
    ),
)
