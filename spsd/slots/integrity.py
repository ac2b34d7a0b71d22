"""Whether the running firmware is still what was installed: hashed again from time to time."""

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
    """The words of the wire. [seen in sample]; UNKNOWN is ours."""

    OK = "OK"
    CORRUPTED = "CORRUPTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What the last check found; ``age_s`` is how long ago that was, in whole seconds."""

    status: IntegrityStatus
    age_s: int

    @property
    def changed_files(self) -> int:
        """A slot holds one file that can change: its image."""
        return 1 if self.status is IntegrityStatus.CORRUPTED else 0


def judge(content: SlotContent, *, intact: bool) -> IntegrityStatus:
    """Of the current slot: what its manifest says, and whether the image agrees.

    A broken manifest proves nothing, so it is never ``intact``; where nothing lies, nothing can
    have changed.
    """
    if content is None:
        return IntegrityStatus.UNKNOWN
    return IntegrityStatus.OK if intact else IntegrityStatus.CORRUPTED


_log = logging.getLogger(__name__)
CHECK_EVERY_S = 3600.0
"""Disks rot slowly, and a check reads a whole image."""


class Integrity:
    """Judges the image in the slot that ``current`` names at the time of each check.

    ``clock`` gives monotonic seconds. Only :meth:`run` touches the disk.
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
            # Before the check: a change that comes while it runs asks for another one.
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
        """Have a check made now; the event is set when it has ended, and nobody need wait."""
        self._due.set()
        return self._next_done

    async def latest(self) -> IntegrityReport:
        """What the last check found, at once; only the first has to be waited for."""
        await self._checked.wait()
        return IntegrityReport(self._status, age_s=int(self._clock() - self._since))

    async def _check(self, slot: int | None) -> IntegrityStatus:
        if slot is None:
            return IntegrityStatus.UNKNOWN
        try:
            content = (await self._store.slots()).get(slot)
            status = judge(content, intact=await self._store.intact(slot))
        except JobError as error:
            # What cannot be read cannot be booted again either, whatever the disk calls it.
            _log.error("slot %d, the running firmware, cannot be checked: %s", slot, error)
            return IntegrityStatus.CORRUPTED
        if status is IntegrityStatus.CORRUPTED:
            _log.error("slot %d, the running firmware, is not what was installed", slot)
        return status
