"""All operations of the API, in the order of the OpenAPI document."""

from spsd.web import browser
from spsd.web.api import (
    appliance,
    authentication,
    downloads,
    listings,
    metrics,
    slots,
    upgrade,
    upload,
)
from spsd.web.contract import Operation

OPERATIONS: tuple[Operation, ...] = (
    *authentication.OPERATIONS,
    *listings.OPERATIONS,
    *appliance.INFO_OPERATIONS,
    *authentication.USER_OPERATIONS,
    *appliance.HEALTH_OPERATIONS,
    *downloads.OPERATIONS,
    *slots.OPERATIONS,
    *upload.OPERATIONS,
    *upgrade.OPERATIONS,
    *metrics.OPERATIONS,
    *browser.DESCRIPTION_OPERATIONS,
    *browser.DASHBOARD_OPERATIONS,
)
