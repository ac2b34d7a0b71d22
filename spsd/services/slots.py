"""What a client does with slots: look, and take an image out."""

from collections.abc import Mapping

from spsd.domain.errors import ResourceNotFoundError, SlotInUseError
from spsd.domain.slot import SlotContent
from spsd.services.ports import SlotStore
from spsd.services.reservations import Reservations


class Slots:
    """The use cases behind ``/api/firmware/slots``; ``current`` is the slot that runs now."""

    def __init__(
        self, store: SlotStore, reservations: Reservations, *, current: int | None
    ) -> None:
        self._store = store
        self._reservations = reservations
        self.current = current

    async def list(self) -> Mapping[int, SlotContent]:
        """Every slot with what it holds; None: empty."""
        return await self._store.slots()

    async def get(self, slot: int) -> SlotContent:
        """What the slot holds; None: nothing.

        Raises:
            ResourceNotFoundError: there is no such slot.
        """
        held = await self._store.slots()
        if slot not in held:
            raise ResourceNotFoundError(
                f"There is no slot {slot}; there are slots 1 to {len(held)}."
            )
        return held[slot]

    async def empty(self, slot: int) -> None:
        """Take the image out of the slot.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            SlotInUseError: its firmware runs now, or a download or an upload has reserved it.
        """
        content = await self.get(slot)
        if slot == self.current:
            raise SlotInUseError(f"Slot {slot} holds the firmware that is running now.")
        if (holder := self._reservations.holder(slot)) is not None:
            raise SlotInUseError(f"Slot {slot} is reserved by {holder}.")
        if content is None:
            raise ResourceNotFoundError(f"Slot {slot} is empty.")
        await self._store.empty(slot)
