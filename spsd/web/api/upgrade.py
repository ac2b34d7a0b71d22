"""``/api/firmware/test`` and ``/api/firmware/upgrade``: both answer when it is done. [inferred]."""

from typing import Annotated

from aiohttp import hdrs, web
from msgspec import Meta

from spsd.errors import (
    FirmwareTestFailedError,
    IncompleteRequestBodyError,
    InvalidRequestBodyError,
    ResourceNotFoundError,
)
from spsd.slots.checks import PassedTest
from spsd.slots.upgrade import Upgrade
from spsd.web.contract import Access, Operation, RequestBody, SuccessResponse
from spsd.web.links import FIRMWARE, TEST, UPGRADE, slot_path
from spsd.web.middleware.auth import SESSION
from spsd.web.requests import TestOrder, UpgradeOrder, read_json
from spsd.web.responses import Shape, respond

UPGRADES = web.AppKey("upgrades", Upgrade)


class SummaryBody(Shape):
    """What the checks found."""

    test_summary: Annotated[str, Meta(description="A line for each check.")]


class TestedMeta(Shape):
    """Where the answer stands, and the slot it is about."""

    href: str
    parent: str
    slot: str


class TestedSlot(Shape):
    """A slot that has passed its tests."""

    body: SummaryBody
    key: Annotated[str, Meta(description="The slot's number.")]
    meta: TestedMeta


async def test(request: web.Request) -> web.Response:
    """Try everything that an upgrade would, and change nothing."""
    order = await read_json(request, TestOrder)
    return _told(TEST, await request.app[UPGRADES].test(int(order.slot_id)))


async def upgrade(request: web.Request) -> web.Response:
    """Test, choose the slot for the next boot, and have the appliance restarted."""
    order = await read_json(request, UpgradeOrder)
    tested = await request.app[UPGRADES].upgrade(
        int(order.slot_id), message=order.message, account=request[SESSION].account
    )
    return _told(UPGRADE, tested)


def _told(href: str, tested: PassedTest) -> web.Response:
    meta = TestedMeta(href, FIRMWARE, slot_path(tested.slot))
    return respond(TestedSlot(SummaryBody(tested.summary), str(tested.slot), meta))


_TAG = "Upgrade"
_ERRORS = (
    IncompleteRequestBodyError,
    InvalidRequestBodyError,
    ResourceNotFoundError,
    FirmwareTestFailedError,
)
OPERATIONS = (
    Operation(
        name="testSlot",
        method=hdrs.METH_POST,
        path=TEST,
        handler=test,
        tag=_TAG,
        summary="Test the image in a slot",
        notes="Reads the whole image again, looks into the volume and at the free space, and runs "
        "the appliance's own tests. Nothing is changed.",
        access=Access.ADMIN,
        takes=RequestBody(TestOrder),
        answer=SuccessResponse(TestedSlot, meaning="Every check is passed."),
        errors=_ERRORS,
    ),
    Operation(
        name="upgrade",
        method=hdrs.METH_POST,
        path=UPGRADE,
        handler=upgrade,
        tag=_TAG,
        summary="Boot another slot",
        notes="Tests the slot, chooses it for the next boot, and then restarts the appliance, "
        "where it is configured so.",
        access=Access.ADMIN,
        takes=RequestBody(UpgradeOrder),
        answer=SuccessResponse(TestedSlot, meaning="The slot is chosen for the next boot."),
        errors=_ERRORS,
    ),
)
