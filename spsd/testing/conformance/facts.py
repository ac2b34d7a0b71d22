"""All the facts, in the order in which they are tried."""

from spsd.testing.conformance import (
    access,
    authentication,
    dry_run,
    endings,
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
from spsd.testing.conformance.fact import Fact

FACTS: tuple[Fact, ...] = tuple(
    row
    for section in (
        transport,
        authentication,
        access,
        messages,
        info,
        errors,
        fetch,
        jobs,
        endings,
        slots,
        upload,
        dry_run,
        upgrade,
    )
    for row in section.FACTS.rows
)
