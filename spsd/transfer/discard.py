"""The removal of partial files, shared by all use cases; the adapter does the removal itself."""

import logging

from spsd.failures import ApplianceError
from spsd.transfer.ports import Staging, StagingKey

_log = logging.getLogger(__name__)


async def discard_partial(staging: Staging, key: StagingKey) -> None:
    """Remove the partial file. A failure of the disk is logged; the next start tries again.

    The result of the job or the upload is final by then: a failure must not change it, and must
    not keep the daemon from starting or running.
    """
    try:
        await staging.discard(key)
    except ApplianceError as error:
        _log.warning("the partial file %s could not be removed and stays: %s", key, error)
