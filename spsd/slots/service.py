"""The use cases of slots: list them, empty one, and choose one for the next boot.

A slot is never emptied and chosen at the same time, so the choice always names a complete image.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.errors import ResourceNotFoundError, SlotInUseError
from spsd.failures import ApplianceError
from spsd.slots.boot import Activation, why_in_use
from spsd.slots.model import InstalledImage, SlotContent
from spsd.slots.ports import BootChoice, SlotStore
from spsd.slots.reservations import Reservations


async def find_installed(slots: SlotStore, sha256: Sha256) -> tuple[int, InstalledImage] | None:
    """The lowest slot with an image of that digest, verified by hashing it; None: no slot.

    Raises:
        ApplianceError: a slot whose manifest has the digest cannot be read.
    """
    for number, image in sorted((await slots.slots()).items()):
        if (
            isinstance(image, InstalledImage)
            and image.sha256 == sha256
            and await slots.intact(number)
        ):
            return number, image
    return None


T = TypeVar("T")


class Slots:
    """The use cases behind ``/api/firmware/slots``."""

    def __init__(self, store: SlotStore, reservations: Reservations, choice: BootChoice) -> None:
        self._store = store
        self._reservations = reservations
        self._choice = choice
        self._changing = asyncio.Lock()

    @property
    def current(self) -> int | None:
        """The slot that runs now; None: unknown."""
        return self._choice.current

    async def after_reboot(self) -> int | None:
        """The slot that runs after the next reboot: the choice, else the current one."""
        chosen = await self.chosen()
        return self.current if chosen is None else chosen

    async def chosen(self) -> int | None:
        """The slot that is chosen for the next boot; None: there is no choice."""
        return await self._choice.chosen()

    @property
    def pending(self) -> Activation | None:
        """The choice whose activation is not known to be complete."""
        return self._choice.pending

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

    async def choose(self, slot: int, image: InstalledImage) -> Activation:
        """Choose the slot for the next boot, if it holds exactly ``image``.

        The activation is pending until :meth:`confirm` or :meth:`revert_choice`.

        Raises:
            ResourceNotFoundError: the slot is empty or holds another image.
            ApplianceError: a write failed. The former choice was restored; if that failed too, the
                activation stays pending.
        """
        return await self._serialized(self._choose(slot, image))

    async def _choose(self, slot: int, image: InstalledImage) -> Activation:
        if await self.get(slot) != image:
            raise ResourceNotFoundError(f"Slot {slot} no longer holds the image that was tested.")
        # Step 1: record the activation before the choice. After a crash in between the record is
        # cleared without harm; a choice without a record would count as activated.
        activation = Activation(slot, before=await self._choice.chosen())
        await self._choice.record_pending(activation)
        # Step 2: choose. After an error the link may be the old or the new one: put it back.
        try:
            await self._choice.choose(slot)
        except ApplianceError:
            await self._revert_choice(activation)
            raise
        return activation

    async def confirm(self) -> None:
        """Record that the activation of the chosen slot is complete.

        Raises:
            ApplianceError: a write failed; the activation stays pending.
        """
        await self._serialized(self._choice.clear_pending())

    async def revert_choice(self, activation: Activation) -> None:
        """Restore the former choice; remove the choice if that slot holds no image any more.

        Raises:
            ApplianceError: a write failed; the activation stays pending.
        """
        await self._serialized(self._revert_choice(activation))

    async def _revert_choice(self, activation: Activation) -> None:
        held = await self._store.slots()
        before = activation.before
        has_image = before is not None and isinstance(held.get(before), InstalledImage)
        # The choice first, the record last: after a crash in between, the record makes the next
        # start look at the choice again.
        await self._choice.choose(before if has_image else None)
        await self._choice.clear_pending()

    async def empty(self, slot: int) -> None:
        """Remove the image from the slot.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            SlotInUseError: its firmware runs now or after the next reboot, an upgrade needs it, or
                a download or an upload has reserved it.
            ApplianceError: a write failed.
        """
        await self._serialized(self._empty(slot))

    async def _empty(self, slot: int) -> None:
        content = await self.get(slot)
        if slot == self.current:
            raise SlotInUseError(f"Slot {slot} holds the firmware that is running now.")
        if (holder := self._reservations.holder(slot)) is not None:
            raise SlotInUseError(f"Slot {slot} is reserved by {holder}.")
        if content is None:
            raise ResourceNotFoundError(f"Slot {slot} is empty.")
        chosen = await self.chosen()
        if why := why_in_use(slot, chosen=chosen, current=self.current, pending=self.pending):
            raise SlotInUseError(why)
        await self._store.empty(slot)

    async def _serialized(self, change: Coroutine[Any, Any, T]) -> T:
        """Make one change at a time; it is completed even if the client's request is cancelled."""
        return await to_completion(self._in_turn(change))

    async def _in_turn(self, change: Coroutine[Any, Any, T]) -> T:
        async with self._changing:
            return await change
