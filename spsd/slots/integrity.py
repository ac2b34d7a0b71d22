"""Checks at intervals whether the running firmware still is what was installed."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from spsd.failures import JobError
from spsd.slots.model import SlotContent
from spsd.slots.ports import SlotStore


class IntegrityStatus(StrEnum):
    """The values of the API. [seen in sample]; UNKNOWN is ours."""

    OK = "OK"
    CORRUPTED = "CORRUPTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """The result of the last check; ``age_s`` is the time since then in whole seconds."""

    status: IntegrityStatus
    age_s: int

    @property
    def changed_files(self) -> int:
        """The number of changed files: at most 1, because the only file is the image."""
        return 1 if self.status is IntegrityStatus.CORRUPTED else 0


def judge(content: SlotContent, *, intact: bool) -> IntegrityStatus:
    """The status of a slot with this content; ``intact``: its image has the manifest's digest.

    An image without a readable manifest cannot be verified, so its caller passes ``intact=False``.
    An empty slot is UNKNOWN, because there is nothing that could have changed.
    """
    if content is None:
        return IntegrityStatus.UNKNOWN
    return IntegrityStatus.OK if intact else IntegrityStatus.CORRUPTED


_log = logging.getLogger(__name__)
CHECK_EVERY_S = 3600.0
"""Interval of the checks. Disks decay slowly, and each check reads a whole image."""


class Integrity:
    """Checks the image in the slot that ``current`` returns at the time of each check.

    ``clock`` returns monotonic seconds. Only :meth:`run` reads the disk.
    """

    def __init__(
        self,
        store: SlotStore,
        *,
        current: Callable[[], int | None],
        clock: Callable[[], float],
        every_s: float,
    ) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._every_s = every_s
        self._due = asyncio.Event()
        self._next_done = asyncio.Event()
        self._checked = asyncio.Event()
        self._status = IntegrityStatus.UNKNOWN
        self._since = clock()

    async def run(self) -> None:
        """Check at once, then every ``every_s`` and after each :meth:`recheck`, until cancelled."""
        while True:
            # Cleared before the check: a recheck that is requested during a check, which may
            # have read the old bytes, leads to another check.
            self._due.clear()
            done, self._next_done = self._next_done, asyncio.Event()
            self._status = await self._check(self._current())
            self._since = self._clock()
            self._checked.set()
            done.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._due.wait()

    def recheck(self) -> asyncio.Event:
        """Request a check now; the returned event is set when that check has ended."""
        self._due.set()
        return self._next_done

    async def latest(self) -> IntegrityReport:
        """The result of the last check; waits only until the first check has ended."""
        await self._checked.wait()
        return IntegrityReport(self._status, age_s=int(self._clock() - self._since))

    async def _check(self, slot: int | None) -> IntegrityStatus:
        if slot is None:
            return IntegrityStatus.UNKNOWN
        try:
            content = (await self._store.slots()).get(slot)
            status = judge(content, intact=await self._store.intact(slot))
        except JobError as error:
            # An image that cannot be read cannot be booted again either, whatever the error is.
            _log.error("slot %d, the running firmware, cannot be checked: %s", slot, error)
            return IntegrityStatus.CORRUPTED
        if status is IntegrityStatus.CORRUPTED:
            _log.error("slot %d, the running firmware, is not what was installed", slot)
        return status
