"""Every operation of the API."""

from spsd.web import (
    authentication,
    dashboard,
    description,
    firmware_fetch,
    firmware_slots,
    firmware_upgrade,
    health,
    info,
    listings,
    metrics,
    upload,
    user,
)
from spsd.web.contract import Operation

OPERATIONS: tuple[Operation, ...] = (
    *authentication.OPERATIONS,
    *listings.OPERATIONS,
    *info.OPERATIONS,
    *user.OPERATIONS,
    *health.OPERATIONS,
    *firmware_fetch.OPERATIONS,
    *firmware_slots.OPERATIONS,
    *upload.OPERATIONS,
    *firmware_upgrade.OPERATIONS,
    *metrics.OPERATIONS,
    *description.OPERATIONS,
    *dashboard.OPERATIONS,
)
