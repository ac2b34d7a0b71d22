"""All facts, in the order in which they are tried; one module for each part of the API."""

from spsd.testing.conformance.fact import Fact
from spsd.testing.conformance.facts import (
    access,
    authentication,
    dry_run,
    errors,
    fetch,
    info,
    jobs,
    messages,
    slots,
    transport,
    upgrade,
    upload,
)

FACTS: tuple[Fact, ...] = tuple(
    row
    for module in (
        transport,
        authentication,
        access,
        messages,
        info,
        errors,
        fetch,
        jobs,
        slots,
        upload,
        dry_run,
        upgrade,
    )
    for row in module.FACTS.rows
)
