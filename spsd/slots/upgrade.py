"""Test a slot, and choose it for the next boot.

The order of an upgrade is: note the activation as pending, set the choice, run the activation
hook, clear the note. Whatever a crash leaves of it, :meth:`Upgrade.resume` settles.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, assert_never

from spsd.errors import FirmwareTestFailedError, ResourceNotFoundError
from spsd.failures import ApplianceError, JobError
from spsd.slots.boot import Activation
from spsd.slots.checks import (
    Check,
    PassedTest,
    activation_check,
    broken_checks,
    choice_check,
    hook_check,
    image_check,
    passed,
    refusal,
    require_passed,
    skipped,
    space_check,
    volume_check,
)
from spsd.slots.model import BrokenSlot, InstalledImage
from spsd.slots.ports import Hooks, Reboot, SlotInspector, SlotStore
from spsd.slots.service import Slots
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.ports import Room

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The use cases behind ``/api/firmware/test`` and ``/api/firmware/upgrade``.

    One runs at a time: hooks need not be re-entrant.
    """

    slots: Slots
    store: SlotStore
    inspector: SlotInspector
    room: Room
    hooks: Hooks
    reboot: Reboot
    test_hooks: Sequence[str] = ()
    activate_hook: str = ""
    spare_bytes: int = SPARE_BYTES
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def test(self, slot: int) -> PassedTest:
        """Check whether the slot can be booted; changes nothing.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: a check failed; it has the whole summary.
        """
        async with self._turn:
            _, checks = await self._checked(slot)
            return require_passed(slot, checks)

    async def upgrade(self, slot: int, *, message: str | None, account: str) -> PassedTest:
        """Test the slot, choose it for the next boot, activate it, and ask for the reboot.

        The choice is durable when this returns. The current slot may be chosen too: that takes
        another choice back.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: a check, the choice or the activation hook failed, and the
                choice is what it was.
            ApplianceError: the disk refuses to take a failed choice back; it stays pending.
        """
        async with self._turn:
            image, checks = await self._checked(slot)
            require_passed(slot, checks)
            activation = await self._choose(slot, image, checks)
            checks = [*checks, *await self._activate(slot, image)]
            try:
                tested = require_passed(slot, checks)
            except FirmwareTestFailedError:
                await self.slots.revert_choice(activation)
                raise
            await self._confirm()
            _log.info(
                "%s chose slot %d, version %s, for the next boot: %s",
                account,
                slot,
                _inline(image.info.version),
                _inline(message or "no message"),
                extra={"action": "upgrade"},
            )
            self.reboot.request()
            return tested

    async def resume(self) -> None:
        """Settle the activation that a crash or a stop left pending, if there is one.

        If the choice names the pending slot, the activation hook runs again; when it fails, the
        choice before is put back. A disk that refuses is logged, and the next start tries again.
        """
        async with self._turn:
            pending = self.slots.pending
            if pending is None:
                return
            try:
                await self._settle(pending)
            except ApplianceError as error:
                _log.error("an upgrade that was cut off cannot be settled: %s", error.what)

    async def _settle(self, pending: Activation) -> None:
        slot = pending.slot
        image = (await self.slots.list()).get(slot)
        if await self.slots.chosen() != slot:
            await self.slots.confirm()
            _log.info("an upgrade to slot %d was cut off before the choice; nothing is left", slot)
        elif not isinstance(image, InstalledImage):
            await self.slots.revert_choice(pending)
            _log.warning("slot %d was chosen but holds no image; its choice is taken back", slot)
        elif passed(checks := await self._activate(slot, image)):
            await self.slots.confirm()
            _log.info("the upgrade to slot %d that was cut off is complete", slot)
        else:
            await self.slots.revert_choice(pending)
            _log.warning(
                "the upgrade to slot %d that was cut off is taken back: %s",
                slot,
                _inline(str(refusal(slot, checks)) + " " + " ".join(checks[0].output)),
            )

    async def _checked(self, slot: int) -> tuple[InstalledImage, Sequence[Check]]:
        """Every check of an installed image, in order.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: nothing tells what the slot holds.
        """
        match await self.slots.get(slot):
            case None:
                raise ResourceNotFoundError(f"Slot {slot} is empty.")
            case BrokenSlot() as broken:
                space = await self._space()
                raise refusal(slot, [*broken_checks(broken), space, *skipped(self.test_hooks)])
            case InstalledImage() as image:
                intact = await _or_error(self.store.intact(slot))
                seen = await _or_error(self.inspector.inspect(slot))
                space = await self._space()
                own = [image_check(image, intact=intact), volume_check(image, seen), space]
                return image, await self._with_hooks(slot, image, own)
            case never:
                assert_never(never)

    async def _space(self) -> Check:
        return space_check(await _or_error(self.room.free_bytes()), needed=self.spare_bytes)

    async def _with_hooks(
        self, slot: int, image: InstalledImage, own: Sequence[Check]
    ) -> Sequence[Check]:
        """Our own checks and then the hooks, as long as nothing fails."""
        checks, waiting = list(own), list(self.test_hooks)
        while waiting and passed(checks):
            hook = waiting.pop(0)
            checks.append(hook_check(hook, await self.hooks.run(hook, slot, image)))
        return [*checks, *skipped(waiting)]

    async def _choose(
        self, slot: int, image: InstalledImage, checks: Sequence[Check]
    ) -> Activation:
        try:
            return await self.slots.choose(slot, image)
        except ApplianceError as error:
            raise refusal(slot, [*checks, choice_check(error)]) from error

    async def _activate(self, slot: int, image: InstalledImage) -> Sequence[Check]:
        if not self.activate_hook:
            return []
        outcome = await self.hooks.run(self.activate_hook, slot, image)
        return [activation_check(self.activate_hook, outcome)]

    async def _confirm(self) -> None:
        """The choice stands and is activated; a note that stays is settled at the next start."""
        try:
            await self.slots.confirm()
        except ApplianceError as error:
            _log.warning("the activation is complete, but not noted as such: %s", error.what)


async def _or_error(reading: Coroutine[Any, Any, T]) -> T | JobError:
    """What cannot be read is an answer too: the check says so."""
    try:
        return await reading
    except JobError as error:
        return error


def _inline(text: str) -> str:
    """On one line, for the log."""
    return " ".join(text.split())
