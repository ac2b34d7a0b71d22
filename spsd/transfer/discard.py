"""The removal of partial files, for every use case: apart from the adapter that removes them."""

import logging

from spsd.failures import ApplianceError
from spsd.transfer.ports import Staging, StagingKey

_log = logging.getLogger(__name__)


async def discard_partial(staging: Staging, key: StagingKey) -> None:
    """Remove the partial file; a disk that refuses is logged, and the next start tries again.

    The outcome of the job or the upload is settled by then: a failure must neither change it nor
    keep the daemon from running or from starting.
    """
    try:
        await staging.discard(key)
    except ApplianceError as error:
        _log.warning("the partial file %s stays for now: %s", key, error)
