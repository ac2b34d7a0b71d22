"""The use cases of slots: list them, empty one, and choose one for the next boot.

Choosing and emptying exclude each other, so the choice names a whole image at every instant.
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
    """The lowest slot with exactly that image, hashed again and found intact; None: no slot.

    Raises:
        ApplianceError: a slot that should have it cannot be read.
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
        """The slot that runs now; None: nobody knows."""
        return self._choice.current

    async def after_reboot(self) -> int | None:
        """The slot that runs after the next reboot: the choice, else the current one."""
        chosen = await self.chosen()
        return self.current if chosen is None else chosen

    async def chosen(self) -> int | None:
        """The slot that was chosen for the next boot; None: nobody chose."""
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
        """Choose the slot for the next boot, as long as it holds exactly ``image``.

        The activation stays pending until it is confirmed or taken back.

        Raises:
            ResourceNotFoundError: it holds something else, or nothing.
            ApplianceError: the disk refuses. The choice is what it was; if the disk refuses that
                as well, the activation stays pending.
        """
        return await self._serialized(self._choose(slot, image))

    async def _choose(self, slot: int, image: InstalledImage) -> Activation:
        if await self.get(slot) != image:
            raise ResourceNotFoundError(f"Slot {slot} no longer holds the image that was tested.")
        activation = Activation(slot, before=await self._choice.chosen())
        await self._choice.begin(activation)
        try:
            await self._choice.choose(slot)
        except ApplianceError:
            await self._revert_choice(activation)
            raise
        return activation

    async def confirm(self) -> None:
        """The chosen slot's activation is complete.

        Raises:
            ApplianceError: the disk refuses; the activation stays pending.
        """
        await self._serialized(self._choice.settle())

    async def revert_choice(self, activation: Activation) -> None:
        """Put the choice before back, or none if its slot holds no image any more.

        Raises:
            ApplianceError: the disk refuses; the activation stays pending.
        """
        await self._serialized(self._revert_choice(activation))

    async def _revert_choice(self, activation: Activation) -> None:
        held = await self._store.slots()
        before = activation.before
        whole = before is not None and isinstance(held.get(before), InstalledImage)
        await self._choice.choose(before if whole else None)
        await self._choice.settle()

    async def empty(self, slot: int) -> None:
        """Take the image out of the slot.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            SlotInUseError: its firmware runs now or after the next reboot, or a download or an
                upload has reserved it.
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
        """One change at a time, each to its end even if the client's request is cancelled."""
        return await to_completion(self._in_turn(change))

    async def _in_turn(self, change: Coroutine[Any, Any, T]) -> T:
        async with self._changing:
            return await change
