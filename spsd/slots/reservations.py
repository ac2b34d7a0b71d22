"""Reservations of empty slots for running downloads and uploads.

They are in memory only: slots are filled by this process alone, and a crash ends every download and
upload that had a reservation.
"""

import asyncio
from enum import StrEnum

from spsd.slots.model import lowest_empty
from spsd.slots.ports import SlotStore


class Holder(StrEnum):
    """What a slot is reserved for, as part of a sentence."""

    DOWNLOAD = "a running download"
    UPLOAD = "a running upload"


class Reservations:
    """The reservations of all downloads and uploads: no slot is reserved twice at the same time."""

    def __init__(self, store: SlotStore) -> None:
        self._store = store
        self._held: dict[int, Holder] = {}
        self._claiming = asyncio.Lock()

    async def reserve(self, holder: Holder) -> int | None:
        """Reserve the lowest slot that is empty and not reserved; None: there is none."""
        # A listing is old when it arrives: meanwhile a holder may have filled its slot and released
        # it. So the slots that were reserved before the listing are excluded too, and no other
        # reservation is made during the listing.
        async with self._claiming:
            before = frozenset(self._held)
            slot = lowest_empty(await self._store.slots(), before)
            if slot is not None:
                self._held[slot] = holder
            return slot

    def release(self, slot: int) -> None:
        """Release a reserved slot, filled or not."""
        del self._held[slot]

    def holder(self, slot: int) -> Holder | None:
        """What the slot is reserved for; None: it is not reserved."""
        return self._held.get(slot)
