"""Partial files that nobody wants any more."""

import logging

from spsd.domain.staging_key import StagingKey
from spsd.failures import ApplianceError
from spsd.services.ports import Staging

_log = logging.getLogger(__name__)


async def clear_away(staging: Staging, key: StagingKey) -> None:
    """Remove the partial file; a disk that refuses is logged, and the next start tries again.

    What became of the job or the upload is settled by then: this must neither change it nor keep
    the daemon from running or from starting.
    """
    try:
        await staging.discard(key)
    except ApplianceError as error:
        _log.warning("the partial file %s stays for now: %s", key, error)
