"""An upgrade that is cut off at every step it takes on the disk, one after the other.

A *cut* stops the world before or after the step: nothing of that life happens any more. A *fault*
is a disk that refuses one step and works again. Afterwards a new life starts from what is left.
"""

import asyncio
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spsd.errors import FirmwareTestFailedError
from spsd.failures import ApplianceError
from spsd.slots.hooks import HookRunner
from tests.slots.upgrading import Asked, Rig, make_rig

EFFECTS = ("symlink", "replace", "rename", "unlink", "fsync", "open")


class Cut(BaseException):
    """The power is gone."""


class World:
    """Counts the effects of a life, and strikes at one of them."""

    def __init__(self, strikes_at: int, how: str) -> None:
        self.count = 0
        self.strikes_at = strikes_at
        self.how = how
        self.trace: list[str] = []
        self.struck = False

    def enter(self, name: str) -> bool:
        """Before an effect; true if the power goes right after it."""
        if self.struck and self.how != "fault":
            raise Cut
        self.count += 1
        self.trace.append(name)
        if self.count != self.strikes_at:
            return False
        self.struck = True
        if self.how == "cut before":
            raise Cut
        if self.how == "fault":
            raise OSError(5, "Input/output error")
        return True

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in EFFECTS:
            patch.setattr(os, name, self._around(name, getattr(os, name)))
        run = HookRunner.run

        async def hook(*args: Any) -> Any:
            if self.struck and self.how != "fault":
                raise Cut
            self.trace.append("hook")
            return await run(*args)

        patch.setattr(HookRunner, "run", hook)
        request = Asked.request

        def asked(this: Asked) -> None:
            if self.struck and self.how != "fault":
                raise Cut
            self.trace.append("reboot")
            request(this)

        patch.setattr(Asked, "request", asked)

    def _around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*args: Any, **kwargs: Any) -> Any:
            # Only what is written beside the slots is a step; images are merely read.
            if not _writes(name, args):
                return real(*args, **kwargs)
            after = self.enter(name)
            result = real(*args, **kwargs)
            if after:
                if name == "open":
                    os.close(result)
                raise Cut
            return result

        return effect


def _writes(name: str, args: tuple[Any, ...]) -> bool:
    match name:
        case "fsync":
            return True
        case "open":
            return bool(args[1] & (os.O_WRONLY | os.O_RDWR)) and ".boot.json" in str(args[0])
        case "symlink":
            return ".next" in str(args[1])
        case _:
            return any(part in str(args[0]) for part in ("next", "boot.json"))


async def life(rig: Rig, strikes_at: int, how: str) -> World:
    """Upgrade from slot 1, chosen before, to slot 2; the world may end in the middle."""
    daemon = await rig.start("boot-1")
    world = World(strikes_at, how)
    with pytest.MonkeyPatch.context() as patch:
        world.install(patch)
        try:
            await daemon.upgrade(2, message=None, account="ann")
        except (Cut, FirmwareTestFailedError, ApplianceError):
            pass
        else:
            assert world.how == "fault" or not world.struck
    return world


async def afterwards(rig: Rig, ran: Path, *, good: bool) -> None:
    """Start again, in this boot and in the next one, from what the disk holds."""
    assert rig.next_is_whole()
    runs = len(ran.read_text().splitlines()) if ran.exists() else 0
    chosen, pending = rig.next(), rig.pending()
    assert chosen in ("1", "2")
    if chosen == "2" and pending is None:
        assert good
        assert runs > 0, "the choice stands although nothing was activated"

    # In this boot slot 1 goes on running, whatever was chosen.
    assert (await rig.start("boot-1")).slots.current == 1
    daemon = await rig.start("boot-2")
    assert daemon.slots.current == int(chosen)
    await daemon.resume()
    assert rig.pending() is None
    assert rig.next_is_whole()
    after = len(ran.read_text().splitlines()) if ran.exists() else 0
    again = pending is not None and chosen == "2"
    assert after - runs == int(again)
    assert rig.next() == ("2" if chosen == "2" and good else "1")
    # It is settled: the next upgrade works, and the slot it leaves can go.
    rig.activate_hook = ""
    await (await rig.start("boot-2")).upgrade(1, message=None, account="ann")
    assert rig.next() == "1"


@pytest.mark.parametrize("good", [True, False], ids=["good hook", "failing hook"])
@pytest.mark.parametrize("how", ["cut before", "cut after", "fault"])
async def test_every_step(
    tmp_path: Path, tally: Callable[[str, int], None], how: str, *, good: bool
) -> None:
    for strikes_at in itertools.count(1):
        rig = await asyncio.to_thread(make_rig, tmp_path / str(strikes_at))
        first = await rig.start("boot-0", named=1)
        await first.upgrade(1, message=None, account="ann")
        ran = rig.root / "ran"
        rig.activate_hook = rig.hook("activate", f"echo run >> {ran}; exit {0 if good else 1}")
        world = await life(rig, strikes_at, how)
        await afterwards(rig, ran, good=good)
        if not world.struck:
            # As it is without a strike; every step of it had its turn.
            note = ["unlink", "open", "fsync", "replace", "fsync"]
            link = ["unlink", "symlink", "replace", "fsync"]
            back = [] if good else link
            end = ["reboot"] if good else []
            assert world.trace == [*note, *link, "hook", *back, *note, *end]
            assert strikes_at == world.count + 1
            tally("cuts and disk faults in the steps of an upgrade", world.count)
            return
