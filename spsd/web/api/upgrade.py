"""``/api/firmware/test`` and ``/api/firmware/upgrade``.

Both respond when the test or the choice of the slot is complete. [inferred].
"""

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
from spsd.web.middleware.audit import Event, audited
from spsd.web.middleware.auth import SESSION
from spsd.web.requests import TestOrder, UpgradeOrder, read_json
from spsd.web.responses import Shape, respond

UPGRADES = web.AppKey("upgrades", Upgrade)


class SummaryBody(Shape):
    """The results of the checks."""

    test_summary: Annotated[str, Meta(description="One line for each check.")]


class TestedMeta(Shape):
    """Links, with the tested slot."""

    href: str
    parent: str
    slot: str


class TestedSlot(Shape):
    """A slot that has passed all checks."""

    body: SummaryBody
    key: Annotated[str, Meta(description="Number of the slot.")]
    meta: TestedMeta


async def test(request: web.Request) -> web.Response:
    """Run all checks of an upgrade, and change nothing."""
    order = await read_json(request, TestOrder)
    slot = int(order.slot_id)
    with audited(request, Event.TEST, slot=slot):
        tested = await request.app[UPGRADES].test(slot)
    return _tested_slot(TEST, tested)


async def upgrade(request: web.Request) -> web.Response:
    """Test the slot, choose it for the next boot, and restart the appliance if configured."""
    order = await read_json(request, UpgradeOrder)
    slot = int(order.slot_id)
    with audited(request, Event.UPGRADE, slot=slot):
        tested = await request.app[UPGRADES].upgrade(
            slot, message=order.message, account=request[SESSION].account
        )
    return _tested_slot(UPGRADE, tested)


def _tested_slot(href: str, tested: PassedTest) -> web.Response:
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
        notes="Reads and verifies the whole image, checks its volume and the free space, and runs "
        "the tests of the appliance. Nothing is changed.",
        access=Access.ADMIN,
        request_body=RequestBody(TestOrder),
        success=SuccessResponse(TestedSlot, meaning="The slot has passed all checks."),
        errors=_ERRORS,
    ),
    Operation(
        name="upgrade",
        method=hdrs.METH_POST,
        path=UPGRADE,
        handler=upgrade,
        tag=_TAG,
        summary="Boot another slot",
        notes="Tests the slot and chooses it for the next boot. Then restarts the appliance if the "
        "settings of spsd say so.",
        access=Access.ADMIN,
        request_body=RequestBody(UpgradeOrder),
        success=SuccessResponse(TestedSlot, meaning="The slot is chosen for the next boot."),
        errors=_ERRORS,
    ),
)
