"""All the facts, in the order in which they are tried."""

from spsd.testing.conformance import (
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
from spsd.testing.conformance.fact import Fact

FACTS: tuple[Fact, ...] = tuple(
    row
    for section in (
        transport,
        authentication,
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
    for row in section.FACTS.rows
)
