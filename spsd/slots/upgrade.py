"""Tests a slot, and chooses it for the next boot.

The order of an upgrade is: record the activation as pending, make the choice, run the activation
hook, clear the record. After a crash at any instant :meth:`Upgrade.resume` completes the upgrade or
restores the former choice.
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

    Tests and upgrades run one at a time, so hooks need not be re-entrant.
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
        """Check whether the slot may be booted; changes nothing.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: a check failed; the error has the whole summary.
        """
        async with self._turn:
            _, checks = await self._run_checks(slot)
            return require_passed(slot, checks)

    async def upgrade(self, slot: int, *, message: str | None, account: str) -> PassedTest:
        """Test the slot, choose it for the next boot, activate it, and request the reboot.

        The choice is durable when this returns. The current slot may be chosen too: that cancels
        another choice. ``message`` and ``account`` are for the log.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: a check, the choice or the activation hook failed; the former
                choice stands.
            ApplianceError: the former choice could not be restored; the activation stays pending.
        """
        async with self._turn:
            # Step 1: test the slot. Nothing is changed before every check has passed.
            image, checks = await self._run_checks(slot)
            require_passed(slot, checks)
            # Step 2: record the pending activation and choose the slot, before the hook runs: the
            # hook may read the link, and a crash during the hook must leave the record.
            activation = await self._choose(slot, image, checks)
            # Step 3: run the activation hook; if it fails, restore the former choice.
            checks = [*checks, *await self._activate(slot, image)]
            try:
                tested = require_passed(slot, checks)
            except FirmwareTestFailedError:
                await self.slots.revert_choice(activation)
                raise
            # Step 4: clear the record, only now: an activation without a record counts as complete.
            await self._confirm()
            _log.info(
                "%s chose slot %d, version %s, for the next boot: %s",
                account,
                slot,
                _inline(image.info.version),
                _inline(message or "no message"),
                extra={"action": "upgrade"},
            )
            # Step 5: request the reboot last, so that it interrupts none of the steps above.
            self.reboot.request()
            return tested

    async def resume(self) -> None:
        """Complete or revert the activation that a crash or a stop left pending, if there is one.

        If the choice names the pending slot, the activation hook runs again; if it fails, the
        former choice is restored. A failed write is logged, and the next start tries again.
        """
        async with self._turn:
            pending = self.slots.pending
            if pending is None:
                return
            try:
                await self._settle_pending(pending)
            except ApplianceError as error:
                _log.error(
                    "an interrupted upgrade can be neither completed nor reverted: %s", error.what
                )

    async def _settle_pending(self, pending: Activation) -> None:
        slot = pending.slot
        image = (await self.slots.list()).get(slot)
        if await self.slots.chosen() != slot:
            # The crash came before the choice: the record is all that is left of the upgrade.
            await self.slots.confirm()
            _log.info(
                "an upgrade to slot %d was interrupted before the choice; it has no effect", slot
            )
        elif not isinstance(image, InstalledImage):
            await self.slots.revert_choice(pending)
            _log.warning(
                "slot %d was chosen but holds no image; the former choice is restored", slot
            )
        elif passed(checks := await self._activate(slot, image)):
            await self.slots.confirm()
            _log.info("the interrupted upgrade to slot %d is complete", slot)
        else:
            await self.slots.revert_choice(pending)
            _log.warning(
                "the interrupted upgrade to slot %d is reverted: %s",
                slot,
                _inline(str(refusal(slot, checks)) + " " + " ".join(checks[0].output)),
            )

    async def _run_checks(self, slot: int) -> tuple[InstalledImage, Sequence[Check]]:
        """Run every check of the installed image, in order; returns them with the image.

        Raises:
            ResourceNotFoundError: there is no such slot, or it is empty.
            FirmwareTestFailedError: the slot has no readable manifest.
        """
        match await self.slots.get(slot):
            case None:
                raise ResourceNotFoundError(f"Slot {slot} is empty.")
            case BrokenSlot() as broken:
                space = await self._space()
                raise refusal(slot, [*broken_checks(broken), space, *skipped(self.test_hooks)])
            case InstalledImage() as image:
                intact = await _or_error(self.store.intact(slot))
                volume = await _or_error(self.inspector.inspect(slot))
                space = await self._space()
                own = [image_check(image, intact=intact), volume_check(image, volume), space]
                return image, await self._with_hooks(slot, image, own)
            case never:
                assert_never(never)

    async def _space(self) -> Check:
        return space_check(await _or_error(self.room.free_bytes()), needed=self.spare_bytes)

    async def _with_hooks(
        self, slot: int, image: InstalledImage, own: Sequence[Check]
    ) -> Sequence[Check]:
        """The checks ``own`` and those of the test hooks; after a failure hooks are skipped."""
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
        """Clear the record; if that fails, the next start runs the activation hook again."""
        try:
            await self.slots.confirm()
        except ApplianceError as error:
            _log.warning(
                "the activation is complete, but could not be recorded as complete: %s", error.what
            )


async def _or_error(reading: Coroutine[Any, Any, T]) -> T | JobError:
    """The result, or the error that prevented it, which the check then reports."""
    try:
        return await reading
    except JobError as error:
        return error


def _inline(text: str) -> str:
    """The text on one line, for the log."""
    return " ".join(text.split())
