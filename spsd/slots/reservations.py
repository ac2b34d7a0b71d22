"""Which empty slot is about to be filled, and by whom.

Held in memory: whoever fills a slot works in this process, and after a crash nobody does.
"""

import asyncio
from enum import StrEnum

from spsd.slots.model import lowest_empty
from spsd.slots.ports import SlotStore


class Holder(StrEnum):
    """Who has reserved a slot, as a sentence names it."""

    DOWNLOAD = "a running download"
    UPLOAD = "a running upload"


class Reservations:
    """Shared by everything that fills slots: no slot is promised to two at once."""

    def __init__(self, store: SlotStore) -> None:
        self._store = store
        self._held: dict[int, Holder] = {}
        self._claiming = asyncio.Lock()

    async def reserve(self, holder: Holder) -> int | None:
        """Reserve the lowest slot that is empty and not reserved; None: there is none."""
        # A listing is old when it arrives: a holder may have filled its slot and let go by then.
        # So what was held before counts too; and nothing is reserved while another one looks.
        async with self._claiming:
            before = frozenset(self._held)
            slot = lowest_empty(await self._store.slots(), before)
            if slot is not None:
                self._held[slot] = holder
            return slot

    def release(self, slot: int) -> None:
        """Let go of a reserved slot, filled or not."""
        del self._held[slot]

    def holder(self, slot: int) -> Holder | None:
        """Who has reserved the slot; None: nobody."""
        return self._held.get(slot)
